//! Evaluation of a model at several frame counts, over the validation split.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::sharing::{Part, Sharing};
use super::wire::{Reader, Writer, read_predictions, write_predictions};
use crate::base::{Error, Kind, Result, files};
use crate::data::clip::{evaluation_batch, evaluation_views};
use crate::data::dataset::Pinned;
use crate::data::{Dataset, EvalBatch, EvalLoader};
use crate::exec::{Input, Next, Segment};
use crate::graph::Graph;
use crate::model::Model;
use crate::run::results::{self, ClassCount, Prediction, Summary, TOP};
use crate::spec::{Average, Experiment};

/// What is evaluated.
#[derive(Clone, Copy)]
pub struct Evaluation<'a> {
    pub experiment: &'a Experiment,
    pub dataset: &'a Arc<Dataset>,
    /// Ascending.
    pub frames: &'a [usize],
    pub branches: Branches,
    pub workers: usize,
    /// Training steps that the model has had.
    pub step: u64,
}

/// Which branches look at a frame count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Branches {
    /// The one that serves it: its own, else the nearest, ties to the larger.
    Serving,
    /// Every one, ascending. So many passes of different shapes are built for each batch anew, and their memory given
    /// back: take batches as large as they may be.
    All,
}

/// One frame count by one branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// Place of the frame count among those of the evaluation.
    pub index: usize,
    pub frames: usize,
    /// Index into the graph's branches.
    pub branch: usize,
}

/// For each clip its classes.
pub type Logits = Vec<Vec<f32>>;

/// The result of one pass.
pub struct Evaluated {
    pub summary: Summary,
    pub predictions: Vec<Prediction>,
}

/// One pass while the clips go by.
struct Tally {
    pass: Pass,
    /// With each clip's loss.
    predictions: Vec<(Prediction, f64)>,
}

/// Of one batch what each pass says of its clips, with their losses.
struct Seen(Vec<Vec<(Prediction, f64)>>);

impl Part for Seen {
    fn write(&self, to: &mut Writer) {
        to.each(&self.0, |to, predictions| {
            write_predictions(to, predictions);
        });
    }

    fn read(from: &mut Reader<'_>) -> Result<Self> {
        from.each(read_predictions).map(Self)
    }
}

impl Evaluation<'_> {
    /// Runs over the whole split, or each of several ranks over its batches; one decode of a clip serves all frame counts and
    /// branches. The results, on every rank, are in the order of [`Evaluation::passes`]. `observe(done)` is called with the clips done
    /// after each batch, and an error of it ends the evaluation.
    pub fn run(
        &self,
        model: &mut Model,
        sharing: &mut Sharing<'_>,
        observe: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Vec<Evaluated>> {
        let passes = self.passes(model.graph());
        let part = sharing.part(self.dataset, self.experiment);
        let own = Evaluation {
            dataset: &part,
            ..*self
        };
        let loader = RefCell::new(own.loader());
        let mut tallies: Vec<Tally> = passes.iter().map(|&pass| Tally::new(pass)).collect();
        let mut done = 0;
        sharing.each(
            self.batches(),
            &mut || {
                let next = own.next(&loader, &passes, model)?;
                next.map(|(batch, logits)| Seen::of(&batch, &logits))
                    .transpose()
            },
            &mut |seen: Seen| {
                done += seen.0.first().map_or(0, Vec::len);
                for (tally, predictions) in tallies.iter_mut().zip(seen.0) {
                    tally.predictions.extend(predictions);
                }
                observe(done)
            },
        )?;
        let tallies = tallies.into_iter();
        tallies.map(|tally| self.summarise(model, tally)).collect()
    }

    /// Batches of the whole split.
    pub fn batches(&self) -> usize {
        let batch = evaluation_batch(&self.experiment.eval).max(1);
        self.dataset.validation.len().div_ceil(batch)
    }

    /// Each frame count by each branch that looks at it, ascending.
    pub fn passes(&self, graph: &Graph) -> Vec<Pass> {
        let of = |(index, &frames): (usize, &usize)| {
            let branches = match self.branches {
                Branches::Serving => graph.branch_for(frames)..graph.branch_for(frames) + 1,
                Branches::All => 0..graph.branches.len(),
            };
            branches.map(move |branch| Pass {
                index,
                frames,
                branch,
            })
        };
        self.frames.iter().enumerate().flat_map(of).collect()
    }

    /// Hands each batch over with its logits: one for each of [`Evaluation::passes`].
    pub fn each_batch(
        &self,
        model: &mut Model,
        handle: &mut dyn FnMut(&EvalBatch, Vec<Logits>) -> Result<()>,
    ) -> Result<()> {
        let passes = self.passes(model.graph());
        let loader = RefCell::new(self.loader());
        while let Some((batch, logits)) = self.next(&loader, &passes, model)? {
            handle(&batch, logits)?;
        }
        Ok(())
    }

    fn next(
        &self,
        loader: &RefCell<EvalLoader>,
        passes: &[Pass],
        model: &mut Model,
    ) -> Result<Option<(EvalBatch, Vec<Logits>)>> {
        let next = loader.borrow_mut().next_batch();
        let Some(batch) = next.transpose()? else {
            return Ok(None);
        };
        let mut logits = Vec::with_capacity(passes.len());
        for &pass in passes {
            let next = || loader.borrow_mut().next_pixels(pass.index);
            let next: Next<'_> = match self.branches {
                Branches::Serving => Some(&next),
                Branches::All => None,
            };
            logits.push(self.logits(model, &batch, pass, next)?);
            if self.branches == Branches::All {
                model.release();
            }
        }
        Ok(Some((batch, logits)))
    }

    /// One batch at every frame count, so that a view or program that cannot be built is found before training.
    pub fn rehearse(&self, model: &mut Model) -> Result<()> {
        let first = self
            .loader()
            .next_batch()
            .ok_or_else(|| Error::new(Kind::Data, "the validation split has no clips"))??;
        for pass in self.passes(model.graph()) {
            self.logits(model, &first, pass, None)?;
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

    /// The batches of the validation split.
    pub fn loader(&self) -> EvalLoader {
        EvalLoader::start(
            self.dataset.clone(),
            self.experiment,
            self.frames,
            self.workers,
        )
    }

    /// A batch as a pass takes it, with its pixels. `next`: those of the batch that follows.
    pub fn input<'b>(
        &'b self,
        batch: &'b EvalBatch,
        pass: Pass,
        next: Next<'b>,
    ) -> (Segment, Input<'b>) {
        let normalize = &self.experiment.eval.normalize;
        let pixels = match batch.pixels.get(pass.index) {
            Some(pixels) => Input::of(pixels, normalize, next),
            None => Input::Values(&[]),
        };
        let segment = Segment {
            branch: pass.branch,
            frames: pass.frames,
            clips: batch.ids.len() * batch.views,
        };
        (segment, pixels)
    }

    /// `clips × classes` logits of a pass, averaged over the views of each clip; of averaged probabilities their logarithms.
    pub fn logits(
        &self,
        model: &mut Model,
        batch: &EvalBatch,
        pass: Pass,
        next: Next<'_>,
    ) -> Result<Logits> {
        let (segment, pixels) = self.input(batch, pass, next);
        let logits = model.evaluate_batch(segment, pixels)?;
        let classes = model.graph().classes;
        let clips = logits.chunks(classes * batch.views);
        let average = match self.experiment.eval.average {
            Average::Logits => mean_of_rows,
            Average::Probabilities => log_of_mean_probabilities,
        };
        Ok(clips.map(|views| average(views, classes)).collect())
    }

    fn summarise(&self, model: &Model, tally: Tally) -> Result<Evaluated> {
        let graph = model.graph();
        let Pass { frames, branch, .. } = tally.pass;
        let loss: f64 = tally.predictions.iter().map(|(_, loss)| loss).sum();
        let predictions = tally.predictions.into_iter();
        let predictions: Vec<Prediction> = predictions.map(|(prediction, _)| prediction).collect();
        let clips = predictions.len();
        let within = |places: usize| predictions.iter().filter(|p| p.rank <= places).count();
        let summary = Summary {
            frames,
            branch: graph.branches.get(branch).copied().unwrap_or(frames),
            step: self.step,
            clips,
            views: evaluation_views(&self.experiment.eval),
            top1: within(1),
            top5: within(TOP),
            loss: loss / clips.max(1) as f64,
            classes: self.by_class(&predictions),
            pinned: self.dataset.pinned != Pinned::Unpinned,
            // Of the training, which the caller knows.
            left_out: 0,
            predictions_sha256: files::sha256(results::lines(&predictions)?.as_bytes()),
        };
        Ok(Evaluated {
            summary,
            predictions,
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
    fn new(pass: Pass) -> Self {
        Self {
            pass,
            predictions: Vec::new(),
        }
    }
}

impl Seen {
    fn of(batch: &EvalBatch, logits: &[Logits]) -> Result<Self> {
        let passes = logits.iter().map(|logits| predictions(batch, logits));
        passes.collect::<Result<_>>().map(Self)
    }
}

/// What logits say of each clip of a batch, and its loss.
pub fn predictions(batch: &EvalBatch, logits: &Logits) -> Result<Vec<(Prediction, f64)>> {
    let clips = batch.ids.iter().zip(&batch.labels).zip(logits);
    clips
        .map(|((id, &label), logits)| {
            let loss = results::cross_entropy(logits, label);
            Ok((Prediction::new(id, label, logits)?, loss))
        })
        .collect()
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

/// The logarithm of the mean over rows of the softmax of each, in float64.
fn log_of_mean_probabilities(rows: &[f32], width: usize) -> Vec<f32> {
    let rows: Vec<&[f32]> = rows.chunks(width).collect();
    if let [row] = rows[..] {
        return row.to_vec();
    }
    let mut sums = vec![0.0; width];
    for row in &rows {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exp: Vec<f64> = row
            .iter()
            .map(|&v| libm::exp(f64::from(v) - f64::from(most)))
            .collect();
        let total: f64 = exp.iter().sum();
        sums.iter_mut()
            .zip(exp)
            .for_each(|(sum, e)| *sum += e / total);
    }
    let mean = sums.into_iter().map(|sum| sum / rows.len() as f64);
    // A logit is finite, however small its probability.
    mean.map(|p| libm::log(p.max(f64::MIN_POSITIVE)) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_averaged_as_probabilities() {
        let (a, b) = ([0.0, libm::log(3.0) as f32], [0.0, 0.0]);
        let found = log_of_mean_probabilities(&[a, b].concat(), 2);
        // (1/4 + 1/2) / 2 and (3/4 + 1/2) / 2
        for (found, expected) in found.iter().zip([0.375f64, 0.625]) {
            assert!((f64::from(*found).exp() - expected).abs() < 1e-6);
        }
        assert_eq!(log_of_mean_probabilities(&a, 2), a);
    }

    #[test]
    fn a_certain_view_leaves_finite_logits() {
        let found = log_of_mean_probabilities(&[0.0, -3e4, 0.0, -3e4], 2);
        assert!(found.iter().all(|v| v.is_finite()), "{found:?}");
    }

    #[test]
    fn the_mean_of_one_row_is_the_row() {
        assert_eq!(mean_of_rows(&[0.1, -3.5], 2), [0.1, -3.5]);
    }

    #[test]
    fn the_mean_goes_over_the_views() {
        assert_eq!(mean_of_rows(&[1.0, 2.0, 3.0, 6.0], 2), [2.0, 4.0]);
    }
}
