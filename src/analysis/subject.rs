//! A run that is open for analysis.

use std::sync::Arc;

use super::document::Origin;
use crate::base::{Error, Kind, Result, Shown};
use crate::data::clip::{evaluation_size, evaluation_views};
use crate::data::{Dataset, Sample};
use crate::graph::Graph;
use crate::model::Model;
use crate::run::manifest::DataIdentity;
use crate::run::{Folder, results};
use crate::spec::Experiment;
use crate::train::circumstances::Circumstances;
use crate::train::evaluate::Pass;
use crate::train::machine::thread_count;
use crate::train::opening::{self, Opening};

/// Decoded bytes of one batch, about: the clips ahead of it take four times as much.
const BATCH_BYTES: usize = 1 << 27;

/// A run with its data and the weights of its last checkpoint.
pub struct Subject {
    pub folder: Folder,
    pub experiment: Experiment,
    pub dataset: Arc<Dataset>,
    pub model: Model,
    /// Training steps that the model has had.
    pub step: u64,
    pub workers: usize,
}

impl Subject {
    /// The run with its data and weights; refused where the data are not those of the run.
    pub fn open(folder: Folder, opening: &Opening) -> Result<Self> {
        let experiment = folder.experiment()?;
        let base = opening::experiment_folder(opening.experiments.as_deref(), &folder)?;
        let dataset = opening.data.open(&experiment, &base)?;
        let manifest = folder.manifest()?;
        manifest.check_data(&DataIdentity::of(&dataset))?;
        let executor = opening.machine.executor(manifest.computation())?;
        let (model, step) = opening::model(&folder, &experiment, executor)?;
        Ok(Self {
            folder,
            experiment,
            dataset,
            model,
            step,
            workers: thread_count(opening.machine.workers),
        })
    }

    /// What ranks must have in common to work on it together.
    pub fn circumstances(&self) -> Result<Circumstances> {
        let data = DataIdentity::of(&self.dataset);
        let identity = self.experiment.identity();
        Circumstances::of(identity, data, self.model.executor()).with(&self.model)
    }

    /// Where an analysis of the weights comes from.
    pub fn origin(&self) -> Result<Origin> {
        Origin::of(&self.folder, self.step, &[weights(&self.folder)?])
    }

    /// The experiment with evaluation batches that hold so many frame counts at once and not too many bytes.
    pub fn batched(&self, frames: &[usize]) -> Experiment {
        let mut experiment = self.experiment.clone();
        let size = evaluation_size(&experiment.eval);
        let view = frames.iter().sum::<usize>().max(1) * size * size * 3;
        let most = experiment.eval.batch.max(1);
        experiment.eval.batch = (BATCH_BYTES / view).clamp(1, most);
        experiment
    }

    /// The data set whose validation split is `count` clips of the training split, evenly spaced over it: for what is
    /// estimated from training clips under the sampling of an evaluation.
    pub fn training_clips(&self, count: usize) -> Arc<Dataset> {
        let all = &self.dataset.train;
        let count = count.min(all.len());
        let picked = (0..count).filter_map(|i| all.get(i * all.len() / count));
        let picked: Vec<Sample> = picked.cloned().collect();
        Arc::new(Dataset {
            validation: picked,
            ..(*self.dataset).clone()
        })
    }

    /// The frame counts of the experiment's evaluation, each by the branch that serves it and by the largest.
    pub fn passes(&self) -> Vec<Pass> {
        let graph = self.model.graph();
        let largest = graph.branches.len().saturating_sub(1);
        let frames = self.experiment.eval.frames.iter().enumerate();
        let of = |(index, &frames): (usize, &usize)| {
            let mut branches = vec![graph.branch_for(frames), largest];
            branches.dedup();
            let pass = move |branch| Pass {
                index,
                frames,
                branch,
            };
            branches.into_iter().map(pass)
        };
        frames.flat_map(of).collect()
    }

    /// Views of a clip; their logits are averaged.
    pub fn views(&self) -> usize {
        evaluation_views(&self.experiment.eval)
    }
}

/// Frame count of a branch.
pub fn branch_frames(graph: &Graph, branch: usize) -> usize {
    graph.branches.get(branch).copied().unwrap_or_default()
}

/// The model file that a run's results are of, by its path in the folder.
pub fn weights(folder: &Folder) -> Result<String> {
    let identity = folder.experiment()?.identity();
    let (_, path) =
        crate::run::weights::of_results(folder.path(), &folder.checkpoints(), &identity)?;
    let within = path.strip_prefix(folder.path()).unwrap_or(&path);
    let parts: Vec<_> = within.iter().map(|part| part.to_string_lossy()).collect();
    Ok(parts.join("/"))
}

/// The final summaries of a run with where an analysis of their predictions comes from.
pub fn evaluations(folder: &Folder) -> Result<(Origin, Vec<results::Summary>)> {
    let summaries = results::read_all(&folder.eval())?;
    let Some(first) = summaries.first() else {
        return Err(Error::new(
            Kind::Run,
            format!("the run `{}` has no evaluation yet", folder.path().shown()),
        )
        .hint("`ffn run` evaluates at the end of training"));
    };
    let names = summaries
        .iter()
        .map(|summary| format!("eval/{}.predictions.jsonl", summary.frames));
    let origin = Origin::of(folder, first.step, &names.collect::<Vec<_>>())?;
    Ok((origin, summaries))
}
