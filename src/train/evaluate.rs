//! Evaluation of a model at several frame counts, over the validation split.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Error, Kind, Result, files};
use crate::data::dataset::Pinned;
use crate::data::transform::normalize_into;
use crate::data::{Dataset, EvalBatch, EvalLoader};
use crate::model::Model;
use crate::run::results::{self, ClassCount, Prediction, Summary, TOP};
use crate::spec::Experiment;

/// What is evaluated.
#[derive(Clone, Copy)]
pub struct Evaluation<'a> {
    pub experiment: &'a Experiment,
    pub dataset: &'a Arc<Dataset>,
    /// Ascending.
    pub frames: &'a [usize],
    pub workers: usize,
    /// Training steps that the model has had.
    pub step: u64,
}

/// For each clip its classes.
pub type Logits = Vec<Vec<f32>>;

/// The result of one frame count.
pub struct Evaluated {
    pub summary: Summary,
    pub predictions: Vec<Prediction>,
}

/// One frame count while the clips go by.
struct Tally {
    frames: usize,
    predictions: Vec<Prediction>,
    loss: f64,
}

impl Evaluation<'_> {
    /// Runs over the whole split; one decode of a clip serves all frame counts. `observe(done)` is called with the
    /// clips done after each batch, and an error of it ends the evaluation.
    pub fn run(
        &self,
        model: &mut Model,
        observe: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Vec<Evaluated>> {
        let mut tallies: Vec<Tally> = self
            .frames
            .iter()
            .map(|&frames| Tally::new(frames))
            .collect();
        let mut views = 1;
        let mut done = 0;
        self.each_batch(model, &mut |batch, logits| {
            views = batch.views;
            done += batch.ids.len();
            for (tally, logits) in tallies.iter_mut().zip(logits) {
                tally.add(batch, &logits)?;
            }
            observe(done)
        })?;
        let tallies = tallies.into_iter();
        tallies
            .map(|tally| self.summarise(model, tally, views))
            .collect()
    }

    /// Hands each batch over with its logits: one for each frame count.
    pub fn each_batch(
        &self,
        model: &mut Model,
        handle: &mut dyn FnMut(&EvalBatch, Vec<Logits>) -> Result<()>,
    ) -> Result<()> {
        let mut loader = self.loader();
        while let Some(batch) = loader.next_batch() {
            let batch = batch?;
            let all = 0..self.frames.len();
            let logits: Result<_> = all.map(|index| self.logits(model, &batch, index)).collect();
            handle(&batch, logits?)?;
        }
        Ok(())
    }

    /// One batch at every frame count, so that a view or program that cannot be built is found before training.
    pub fn rehearse(&self, model: &mut Model) -> Result<()> {
        let first = self
            .loader()
            .next_batch()
            .ok_or_else(|| Error::new(Kind::Data, "the validation split has no clips"))??;
        for index in 0..self.frames.len() {
            self.logits(model, &first, index)?;
        }
        // The last batch has a program of its own where the split is no multiple of a batch.
        let rest = self.dataset.validation.len() % first.ids.len().max(1);
        if rest > 0 {
            for &frames in self.frames {
                model.prepare_eval(frames, rest * first.views)?;
            }
        }
        Ok(())
    }

    fn loader(&self) -> EvalLoader {
        EvalLoader::start(
            self.dataset.clone(),
            self.experiment,
            self.frames,
            self.workers,
        )
    }

    /// `clips × classes` logits at frame count number `index`, averaged over the views of each clip.
    fn logits(&self, model: &mut Model, batch: &EvalBatch, index: usize) -> Result<Logits> {
        let (Some(bytes), Some(&frames)) = (batch.pixels.get(index), self.frames.get(index)) else {
            return Ok(Vec::new());
        };
        let mut pixels = vec![0.0; bytes.len()];
        normalize_into(bytes, &self.experiment.eval.normalize, &mut pixels);
        let logits = model.evaluate(frames, batch.ids.len() * batch.views, &pixels)?;
        let classes = model.graph().classes;
        let clips = logits.chunks(classes * batch.views);
        Ok(clips.map(|views| mean_of_rows(views, classes)).collect())
    }

    fn summarise(&self, model: &Model, tally: Tally, views: usize) -> Result<Evaluated> {
        let graph = model.graph();
        let branch = graph.branches.get(graph.branch_for(tally.frames));
        let clips = tally.predictions.len();
        let within = |places: usize| {
            let right = tally.predictions.iter().filter(|p| p.rank <= places);
            right.count()
        };
        let summary = Summary {
            frames: tally.frames,
            branch: branch.copied().unwrap_or(tally.frames),
            step: self.step,
            clips,
            views,
            top1: within(1),
            top5: within(TOP),
            loss: tally.loss / clips.max(1) as f64,
            classes: self.by_class(&tally.predictions),
            pinned: self.dataset.pinned != Pinned::Unpinned,
            predictions_sha256: files::sha256(results::lines(&tally.predictions)?.as_bytes()),
        };
        Ok(Evaluated {
            summary,
            predictions: tally.predictions,
        })
    }

    fn by_class(&self, predictions: &[Prediction]) -> BTreeMap<String, ClassCount> {
        let names = &self.dataset.classes;
        let mut classes: BTreeMap<String, ClassCount> = BTreeMap::new();
        for prediction in predictions {
            let name = names.get(prediction.label).cloned().unwrap_or_default();
            let count = classes.entry(name).or_default();
            count.clips += 1;
            count.top1 += usize::from(prediction.rank == 1);
        }
        classes
    }
}

impl Tally {
    fn new(frames: usize) -> Self {
        Self {
            frames,
            predictions: Vec::new(),
            loss: 0.0,
        }
    }

    fn add(&mut self, batch: &EvalBatch, logits: &Logits) -> Result<()> {
        for ((id, &label), logits) in batch.ids.iter().zip(&batch.labels).zip(logits) {
            self.predictions.push(Prediction::new(id, label, logits)?);
            self.loss += results::cross_entropy(logits, label);
        }
        Ok(())
    }
}

/// The mean over rows of `width` values, summed in order in float64.
fn mean_of_rows(rows: &[f32], width: usize) -> Vec<f32> {
    let count = rows.chunks(width).len() as f64;
    (0..width)
        .map(|column| {
            let values = rows.iter().skip(column).step_by(width);
            (values.map(|&v| f64::from(v)).sum::<f64>() / count) as f32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_one_row_is_the_row() {
        assert_eq!(mean_of_rows(&[0.1, -3.5], 2), [0.1, -3.5]);
    }

    #[test]
    fn the_mean_goes_over_the_views() {
        assert_eq!(mean_of_rows(&[1.0, 2.0, 3.0, 6.0], 2), [2.0, 4.0]);
    }
}
