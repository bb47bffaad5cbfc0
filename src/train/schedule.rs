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
    experiment.optimizer.lr * factor
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
