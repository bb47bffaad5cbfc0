//! Learning rates.
//!
//! With t the progress in epochs, E the epochs of training, w those of the warm-up and lr the experiment's rate:
//!
//! | part | rate |
//! |---|---|
//! | warm-up, t < w | lr · (from + (1 − from) · t / w) |
//! | MultiStep | lr · gamma^(milestones at or before t) |
//! | Cosine | lr · (last + (1 − last) · (1 + cos(π · (t − w) / (E − w))) / 2) |
//!
//! t is the number of whole epochs when the schedule steps by epoch, and step / (steps per epoch) when it steps by
//! iteration. Milestones count from the start of training, warm-up included.

use crate::spec::{Experiment, ScheduleShape, ScheduleStep};

/// The base learning rate of a global step (from 0).
pub fn rate(experiment: &Experiment, steps_per_epoch: u64, step: u64) -> f64 {
    let schedule = &experiment.schedule;
    let steps_per_epoch = steps_per_epoch.max(1);
    let epoch = match schedule.step {
        ScheduleStep::Epoch => (step / steps_per_epoch) as f64,
        ScheduleStep::Iteration => step as f64 / steps_per_epoch as f64,
    };
    let warmup = schedule.warmup.map_or(0.0, |warmup| warmup.epochs);
    let factor = match schedule.warmup {
        Some(warmup) if epoch < warmup.epochs => {
            warmup.from + (1.0 - warmup.from) * epoch / warmup.epochs
        }
        _ => shape(
            &schedule.shape,
            epoch,
            warmup,
            experiment.train.epochs as f64,
        ),
    };
    experiment.optimizer.lr() * factor
}

fn shape(shape: &ScheduleShape, epoch: f64, warmup: f64, epochs: f64) -> f64 {
    match shape {
        ScheduleShape::MultiStep { milestones, gamma } => milestones
            .iter()
            .filter(|&&milestone| milestone <= epoch)
            .fold(1.0, |factor, _| factor * gamma),
        ScheduleShape::Cosine { last } => {
            let done = ((epoch - warmup) / (epochs - warmup).max(f64::MIN_POSITIVE)).min(1.0);
            // `libm` for the same bits on every machine.
            last + (1.0 - last) * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * done))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spec::network::{self, Network, Training, experiment};
    use crate::spec::{Backbone, Method, Schedule, Warmup};

    /// Ten epochs at the rate 0.1.
    fn scheduled(shape: ScheduleShape, warmup: Option<Warmup>, step: ScheduleStep) -> Experiment {
        let mut experiment = experiment(&Network {
            method: Method::Vanilla { frames: 8 },
            model: network::tsm(Backbone::ResNet18),
            classes: 2,
            size: 32,
            training: Some(Training::sgd(1, 0.1, 0.9, 0.0)),
        });
        experiment.train.epochs = 10;
        experiment.schedule = Schedule {
            shape,
            warmup,
            step,
        };
        experiment
    }

    fn multi_step() -> ScheduleShape {
        ScheduleShape::MultiStep {
            milestones: vec![4.0, 8.0],
            gamma: 0.1,
        }
    }

    const COSINE: ScheduleShape = ScheduleShape::Cosine { last: 0.0 };
    const WARMUP: Warmup = Warmup {
        epochs: 2.0,
        from: 0.1,
    };

    /// Rates at 4 steps an epoch, by hand.
    #[test]
    fn rates_are_those_of_the_formulas() {
        use ScheduleStep::{Epoch, Iteration};
        let half = 0.05;
        // 0.05 · (1 + cos(π/4)), and of 3π/4 with 0.5 of the rate left: 0.1 · (0.5 + 0.25 · (1 + cos(3π/4))).
        let (quarter, tail) = (0.085_355_339_059_327_38, 0.057_322_330_470_336_316);
        let cases: [(ScheduleShape, Option<Warmup>, ScheduleStep, u64, f64); 15] = [
            (multi_step(), None, Epoch, 0, 0.1),
            (multi_step(), None, Epoch, 15, 0.1),
            (multi_step(), None, Epoch, 16, 0.01),
            (multi_step(), None, Epoch, 39, 0.001),
            (multi_step(), Some(WARMUP), Epoch, 3, 0.01),
            (multi_step(), Some(WARMUP), Epoch, 4, 0.055),
            (multi_step(), Some(WARMUP), Epoch, 8, 0.1),
            (multi_step(), Some(WARMUP), Iteration, 1, 0.02125),
            (multi_step(), Some(WARMUP), Iteration, 16, 0.01),
            (COSINE, None, Iteration, 0, 0.1),
            (COSINE, None, Iteration, 10, quarter),
            (COSINE, None, Iteration, 20, half),
            (COSINE, None, Epoch, 23, half),
            (COSINE, Some(WARMUP), Iteration, 24, half),
            (
                ScheduleShape::Cosine { last: 0.5 },
                None,
                Iteration,
                30,
                tail,
            ),
        ];
        for (shape, warmup, by, step, expected) in cases {
            let found = rate(&scheduled(shape.clone(), warmup, by), 4, step);
            let context = format!("{shape:?} {warmup:?} {by:?} step {step}: {found}");
            assert!(
                (found - expected).abs() < 1e-15,
                "{context}, expected {expected}"
            );
        }
    }

    fn any_shape() -> impl Strategy<Value = ScheduleShape> {
        prop_oneof![
            (4.0..9.0, 0.01..1.0).prop_map(|(milestone, gamma)| ScheduleShape::MultiStep {
                milestones: vec![milestone],
                gamma,
            }),
            (0.0..1.0).prop_map(|last| ScheduleShape::Cosine { last }),
        ]
    }

    proptest! {
        /// Stepped by iteration, the rate reaches the experiment's without a jump, and falls from there.
        #[test]
        fn warmup_meets_the_schedule(shape in any_shape(), from in 0.0..1.0, epochs in 1.0..3.0, per_epoch in 5u64..200) {
            let warmup = Some(Warmup { epochs, from });
            let experiment = scheduled(shape, warmup, ScheduleStep::Iteration);
            let end = (epochs * per_epoch as f64).ceil() as u64;
            let at = |step| rate(&experiment, per_epoch, step);
            let largest_step = 0.1 * (1.0 - from) / (epochs * per_epoch as f64) + 1e-9;
            for step in 1..end {
                prop_assert!(at(step) >= at(step - 1));
                prop_assert!(at(step) - at(step - 1) <= largest_step);
            }
            prop_assert!((at(end) - at(end - 1)).abs() <= largest_step + 0.1 / per_epoch as f64);
            for step in end + 1..10 * per_epoch {
                prop_assert!(at(step) <= at(step - 1));
            }
        }
    }
}
