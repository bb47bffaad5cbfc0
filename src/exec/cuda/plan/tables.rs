//! What kernels look up of a batch's rows.

use std::collections::HashMap;

use crate::ops::Layout;

/// Numbers one after another; what is asked for twice is there once.
#[derive(Default)]
pub struct Tables {
    numbers: Vec<i32>,
    starts: HashMap<Vec<i32>, usize>,
}

impl Tables {
    /// Where these numbers begin.
    pub fn of(&mut self, table: Vec<i32>) -> usize {
        if let Some(&start) = self.starts.get(&table) {
            return start;
        }
        let start = self.numbers.len();
        self.numbers.extend(&table);
        self.starts.insert(table, start);
        start
    }

    /// Where the norm groups of each row begin.
    pub fn groups(&mut self, layout: &Layout) -> usize {
        let groups = layout.group_of.iter().map(|&group| group as i32);
        self.of(groups.collect())
    }

    /// Where the `Span` of each row begins, as `kernels/common.cuh` has it: two numbers.
    pub fn spans(&mut self, layout: &Layout) -> usize {
        let rows = layout.along_time.iter();
        let span = |&(index, period): &(usize, usize)| [index, period - 1 - index];
        self.of(rows.flat_map(span).map(|count| count as i32).collect())
    }

    /// All of them; the device gives no memory of no bytes.
    pub fn numbers(mut self) -> Vec<i32> {
        if self.numbers.is_empty() {
            self.numbers.push(0);
        }
        self.numbers
    }
}
