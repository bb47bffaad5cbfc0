//! What kernels look up of a batch's rows, at the rates at which they ask.

use std::collections::BTreeMap;

use crate::ops::{Layout, Rate};

/// Numbers one after another.
#[derive(Default)]
pub struct Tables {
    numbers: Vec<i32>,
    groups: BTreeMap<Rate, usize>,
    spans: BTreeMap<Rate, usize>,
}

impl Tables {
    /// Where the norm groups of each row begin.
    pub fn groups(&mut self, rate: Rate, layout: &Layout) -> usize {
        let numbers = &mut self.numbers;
        *self.groups.entry(rate).or_insert_with(|| {
            let start = numbers.len();
            numbers.extend(layout.group_of.iter().map(|&group| group as i32));
            start
        })
    }

    /// Where the `Span` of each row begins, as `kernels/common.cuh` has it: two numbers.
    pub fn spans(&mut self, rate: Rate, layout: &Layout) -> usize {
        let numbers = &mut self.numbers;
        *self.spans.entry(rate).or_insert_with(|| {
            let start = numbers.len();
            let rows = layout.along_time.iter();
            let span = |&(index, period): &(usize, usize)| [index, period - 1 - index];
            numbers.extend(rows.flat_map(span).map(|count| count as i32));
            start
        })
    }

    /// All of them; the device gives no memory of no bytes.
    pub fn numbers(mut self) -> Vec<i32> {
        if self.numbers.is_empty() {
            self.numbers.push(0);
        }
        self.numbers
    }
}
