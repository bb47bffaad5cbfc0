//! How fast this machine does an experiment's work, on images that nobody has to download.
//!
//! The work is the real one, through the same model and optimiser as `ffn run`; only the images are procedural. What
//! other programs take for the same work is measured by `benches/compare.py`, which runs this and them in turn.

pub mod limits;
pub mod loading;
pub mod process;
pub mod work;

pub use limits::Limits;
pub use loading::Loading;
pub use work::{Evaluating, Training};

use std::time::Instant;

use serde::Serialize;

use crate::base::Result;
use crate::base::statistics::median;
use crate::model::StepTime;

/// Something that is done again and again.
pub trait Work {
    /// Once.
    fn run(&mut self) -> Result<()>;

    /// Has runs tell from now on what steps take; `false` where they do that always, or never.
    fn time_steps(&mut self) -> Result<bool> {
        Ok(false)
    }

    /// Time and cost of each step of the program so far, over all runs that tell; none where no network runs.
    fn times(&self) -> Vec<StepTime> {
        Vec::new()
    }

    /// Multiply-adds of the network's products in one run.
    fn multiply_adds(&self) -> u64 {
        0
    }

    /// Bytes that the engine holds; none where no network runs.
    fn memory(&self) -> usize {
        0
    }

    /// Images in one run.
    fn frames(&self) -> usize;
}

/// What the runs of a work took.
#[derive(Debug, Clone, Serialize)]
pub struct Timing {
    /// Wall time of each run.
    pub seconds: Vec<f64>,
    /// Processor time of each run over all threads, where the system tells: what other programs do on the machine
    /// hardly changes it.
    pub processor_seconds: Vec<Option<f64>>,
    /// Steps of the program, mean over the runs.
    #[serde(skip)]
    pub steps: Vec<StepTime>,
}

/// Runs the work once to warm up, then `repeats` times; and as often once more where steps are timed apart.
pub fn measure(work: &mut dyn Work, repeats: usize) -> Result<Timing> {
    work.run()?;
    let before = work.times();
    let mut timing = Timing {
        seconds: Vec::new(),
        processor_seconds: Vec::new(),
        steps: Vec::new(),
    };
    for _ in 0..repeats {
        let (start, processor) = (Instant::now(), process::processor_seconds());
        work.run()?;
        timing.seconds.push(start.elapsed().as_secs_f64());
        let processor = process::processor_seconds().zip(processor);
        timing
            .processor_seconds
            .push(processor.map(|(end, start)| end - start));
    }
    if work.time_steps()? {
        for _ in 0..repeats {
            work.run()?;
        }
    }
    timing.steps = work.times();
    for (index, step) in timing.steps.iter_mut().enumerate() {
        let before = before.get(index).map_or(0.0, |before| before.seconds);
        step.seconds = (step.seconds - before) / repeats.max(1) as f64;
    }
    Ok(timing)
}

impl Timing {
    /// The middle one of the wall times.
    pub fn median(&self) -> f64 {
        median(&self.seconds)
    }
}
