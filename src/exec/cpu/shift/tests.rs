//! What a temporal shift is, whatever its numbers.

use proptest::prelude::*;

use super::*;
use crate::base::rng::{Purpose, Stream};
use crate::ops::batch::BatchRules;
use crate::ops::{Batch, Rate, Segment};

#[derive(Debug, Clone, Copy)]
struct Case {
    shape: Shape,
    div: usize,
    frames: usize,
    clips: usize,
}

impl Case {
    fn plan<'a>(&self, batch: &'a Batch) -> Plan<'a> {
        Plan {
            layout: batch.at(Rate::FRAME),
            params: &[],
            shape: self.shape,
            shift: Some(self.div),
            alter: &[],
        }
    }

    fn fold(&self) -> usize {
        self.shape.channels / self.div
    }

    fn batch(&self) -> Batch {
        let segment = Segment {
            branch: 0,
            frames: self.frames,
            clips: self.clips,
        };
        let rules = BatchRules {
            branches: &[self.frames],
            rates: &[],
            norm_clips: None,
            period: None,
        };
        Batch::new(&[segment], &rules).unwrap()
    }

    fn values(&self, seed: u64) -> Vec<f32> {
        let mut stream = Stream::new(seed, Purpose::Init, &[]);
        let count = self.clips * self.frames * self.shape.count();
        (0..count).map(|_| stream.uniform() as f32 - 0.5).collect()
    }

    fn forward(&self, x: &[f32]) -> Vec<f32> {
        let mut y = vec![f32::NAN; x.len()];
        forward(self.plan(&self.batch()), x, &mut y);
        y
    }

    /// Clip, frame and channel of a value.
    fn place(&self, index: usize) -> (usize, usize, usize) {
        let frame = index / self.shape.count();
        let channel = index % self.shape.channels;
        (frame / self.frames, frame % self.frames, channel)
    }
}

fn cases() -> impl Strategy<Value = Case> {
    (
        1..20usize,
        1..4usize,
        1..4usize,
        2..9usize,
        1..7usize,
        1..4usize,
    )
        .prop_map(|(channels, height, width, div, frames, clips)| Case {
            shape: Shape {
                channels,
                height,
                width,
            },
            div,
            frames,
            clips,
        })
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let pairs = a.iter().zip(b);
    pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

proptest! {
    #[test]
    fn adjoint_identity(case in cases()) {
        let (x, y) = (case.values(1), case.values(2));
        let mut back = vec![f32::NAN; y.len()];
        back_data(case.plan(&case.batch()), &y, None, &mut back);
        let (left, right) = (dot(&case.forward(&x), &y), dot(&x, &back));
        // Both sums have the same products, in another order.
        prop_assert!((left - right).abs() < 1e-9, "{left} {right}");
    }

    #[test]
    fn nothing_crosses_clips(case in cases(), clip in 0..4usize) {
        let x = case.values(1);
        let mut other = x.clone();
        let changed = clip % case.clips;
        for (i, value) in other.iter_mut().enumerate() {
            if case.place(i).0 == changed {
                *value += 1.0;
            }
        }
        let (y, other) = (case.forward(&x), case.forward(&other));
        for i in 0..y.len() {
            prop_assert!(case.place(i).0 == changed || y[i] == other[i]);
        }
    }

    #[test]
    fn channels_beyond_the_folds_stay(case in cases()) {
        let x = case.values(1);
        let y = case.forward(&x);
        for i in 0..x.len() {
            prop_assert!(case.place(i).2 < 2 * case.fold() || x[i] == y[i]);
        }
    }

    /// Every value but those shifted over an end arrives once; what enters at the other end is zero.
    #[test]
    fn conserved_away_from_the_ends(case in cases()) {
        let x = case.values(1);
        let y = case.forward(&x);
        let step = case.shape.count();
        for i in 0..x.len() {
            let (_, frame, channel) = case.place(i);
            if channel < case.fold() {
                let expected = if frame + 1 < case.frames { x[i + step] } else { 0.0 };
                prop_assert_eq!(y[i], expected);
            } else if channel < 2 * case.fold() {
                let expected = if frame > 0 { x[i - step] } else { 0.0 };
                prop_assert_eq!(y[i], expected);
            }
        }
    }
}
