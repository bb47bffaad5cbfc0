//! The loader's work: videos to the numbers that a training step reads.

use std::sync::Arc;

use super::Work;
use crate::base::Result;
use crate::data::normalize::normalize_into;
use crate::data::{Dataset, Pixels, TrainLoader};
use crate::spec::Experiment;

/// The first batches of a training, from files to normalised values: decoded and transformed by the workers, gathered and
/// normalised by the consumer.
pub struct Loading {
    dataset: Arc<Dataset>,
    experiment: Experiment,
    workers: usize,
    batches: usize,
    /// Clips of a run, known after the first.
    clips: usize,
    pixels: Vec<f32>,
}

impl Loading {
    /// A training has at most so many batches as its epochs hold.
    pub fn new(dataset: Dataset, experiment: &Experiment, workers: usize, batches: usize) -> Self {
        Self {
            dataset: Arc::new(dataset),
            experiment: experiment.clone(),
            workers,
            batches,
            clips: 0,
            pixels: Vec::new(),
        }
    }

    pub fn clips(&self) -> usize {
        self.clips
    }
}

impl Work for Loading {
    fn run(&mut self) -> Result<()> {
        let dataset = Arc::clone(&self.dataset);
        let mut loader = TrainLoader::start(dataset, &self.experiment, self.workers, 0);
        self.clips = 0;
        for _ in 0..self.batches * self.experiment.train.shards {
            let Some(batch) = loader.next_batch().transpose()? else {
                break;
            };
            if let Pixels::Bytes(bytes) = &*batch.pixels {
                self.pixels.resize(bytes.len(), 0.0);
                let normalize = &self.experiment.train.clips.normalize;
                normalize_into(bytes, normalize, &mut self.pixels);
            }
            self.clips += batch.labels.len();
        }
        Ok(())
    }

    fn frames(&self) -> usize {
        self.clips * self.experiment.method.frames().iter().sum::<usize>()
    }
}
