//! A series of any length in a bounded number of bins.

/// The most bins; with one more, each two become one. A curve has half as many points at least: fine enough for a figure, and means
/// over enough steps to be read.
const MOST: usize = 120;

/// What can be summed over steps.
pub trait Sum {
    fn add(&mut self, other: Self);
}

/// Steps that follow one another, in bins of the same number of steps; the last may have fewer.
#[derive(Debug, Clone)]
pub struct Bins<T> {
    /// Steps of a full bin: a power of two.
    size: u64,
    bins: Vec<Bin<T>>,
}

/// Some steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Bin<T> {
    pub steps: u64,
    /// Over these steps.
    pub sum: T,
}

impl<T> Default for Bins<T> {
    fn default() -> Self {
        Self {
            size: 1,
            bins: Vec::new(),
        }
    }
}

impl<T: Sum> Bins<T> {
    /// Adds the next step.
    pub fn push(&mut self, value: T) {
        match self.bins.last_mut() {
            Some(last) if last.steps < self.size => {
                last.steps += 1;
                last.sum.add(value);
            }
            _ => self.bins.push(Bin {
                steps: 1,
                sum: value,
            }),
        }
        if self.bins.len() > MOST {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.size *= 2;
        let mut halved: Vec<Bin<T>> = Vec::with_capacity(MOST);
        for bin in self.bins.drain(..) {
            match halved.last_mut() {
                Some(last) if last.steps < self.size => {
                    last.steps += bin.steps;
                    last.sum.add(bin.sum);
                }
                _ => halved.push(bin),
            }
        }
        self.bins = halved;
    }
}

impl<T> Bins<T> {
    /// Steps of a full bin.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// All steps.
    pub fn steps(&self) -> u64 {
        self.bins.iter().map(|bin| bin.steps).sum()
    }

    /// Each bin with the number of steps that are done at its end.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Bin<T>)> {
        self.bins.iter().scan(0, |done, bin| {
            *done += bin.steps;
            Some((*done, bin))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Sum for u64 {
        fn add(&mut self, other: Self) {
            *self += other;
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_however_long_the_series(steps in 0u64..5000) {
            let mut bins = Bins::default();
            (0..steps).for_each(|step| bins.push(step));
            prop_assert_eq!(bins.steps(), steps);
            prop_assert!(bins.iter().count() <= MOST);
            // Half of what is allowed at least, so that a curve stays as fine as it can be.
            prop_assert!(bins.iter().count() as u64 >= steps.min(MOST as u64 / 2));
            let mut from = 0;
            for (end, bin) in bins.iter() {
                prop_assert_eq!(bin.sum, (from..end).sum::<u64>());
                prop_assert!(bin.steps == bins.size() || end == steps);
                from = end;
            }
        }
    }
}
