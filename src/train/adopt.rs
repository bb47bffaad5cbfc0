//! Training that is done already: by a run beside this one whose experiment trains the same.
//!
//! Two experiments that differ in what training does not read ([`Experiment::training`]), in `eval.frames` say, compute the
//! same steps on the same data with the same engine. So a new run begins with the checkpoint of such a neighbour, and with
//! the metrics up to it: the same bytes as if it had computed them. Evaluations between epochs that lie before are not made.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::checkpoint;
use super::learner::Learner;
use crate::base::{Error, Held, Result, files};
use crate::run::checkpoint::{Moment, State};
use crate::run::folder::{METRICS, TIMING};
use crate::run::manifest::{Continued, Manifest};
use crate::run::{Folder, Working, metrics};
use crate::spec::{self, Difference, Experiment};

/// A run whose training is the beginning of another's, and its checkpoint to go on from.
pub struct Trained {
    /// Locked, so that nobody works on it meanwhile.
    folder: Working,
    manifest: Manifest,
    checkpoint: PathBuf,
    state: State,
}

/// The neighbour of `folder` that is furthest in the training of the run that `manifest` begins. What is damaged, or under
/// work, is no neighbour.
pub fn find(folder: &Folder, experiment: &Experiment, manifest: &Manifest) -> Option<Trained> {
    let training = experiment.training();
    let same = |(neighbour, other): (Folder, Experiment)| {
        let found = (other.training() == training).then(|| neighbour.manifest())?;
        let found = found.ok().filter(|found| trains_alike(found, manifest))?;
        usable(neighbour, found, manifest.steps)
    };
    let found = neighbours(folder).into_iter().filter_map(same);
    found.max_by_key(|found| found.state.step)
}

/// The run beside `folder` whose experiment differs in the fewest fields, and those; `None` where all differ in more than
/// `most`.
pub fn nearest(
    folder: &Folder,
    experiment: &Experiment,
    most: usize,
) -> Option<(Folder, Vec<Difference>)> {
    let differing = |(neighbour, other): (Folder, Experiment)| {
        let differences = spec::diff(&other, experiment);
        (differences.len() <= most).then_some((neighbour, differences))
    };
    let found = neighbours(folder).into_iter().filter_map(differing);
    found.min_by_key(|(_, differences)| differences.len())
}

/// The other runs in the folder that holds this one, with their experiments.
fn neighbours(folder: &Folder) -> Vec<(Folder, Experiment)> {
    let runs = folder.path().parent().unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(runs) else {
        return Vec::new();
    };
    let folders = entries.flatten().map(|entry| Folder::at(entry.path()));
    let others = folders.filter(|other| other.name() != folder.name() && other.exists());
    let mut others: Vec<_> = others
        .filter_map(|other| {
            other
                .experiment()
                .ok()
                .map(|experiment| (other, experiment))
        })
        .collect();
    others.sort_by_key(|(other, _)| other.name());
    others
}

/// Whether two runs of the same training compute the same bits.
fn trains_alike(a: &Manifest, b: &Manifest) -> bool {
    let read = |manifest: &Manifest| {
        (
            manifest.data.clone(),
            manifest.initial_weights.clone(),
            manifest.computation(),
            manifest.precision.clone(),
            manifest.steps_per_epoch,
        )
    };
    read(a) == read(b)
}

/// With its last intact checkpoint that has no more than `steps` steps.
fn usable(folder: Folder, manifest: Manifest, steps: u64) -> Option<Trained> {
    let folder = folder.lock().ok()?;
    let all = crate::run::checkpoint::list(&folder.checkpoints()).ok()?;
    let early = all.into_iter().rev().filter(|(step, _)| *step <= steps);
    let mut intact = early.filter_map(|(_, path)| {
        let state = checkpoint::usable(&folder, &path, &manifest.identity).ok()?;
        Some((path, state))
    });
    let (checkpoint, state) = intact.next()?;
    Some(Trained {
        folder,
        manifest,
        checkpoint,
        state,
    })
}

impl Trained {
    /// Puts the checkpoint, the metrics and the timings up to it into a run that begins, and says so in its manifest.
    pub fn adopt(
        &self,
        into: &Working,
        identity: &str,
        learner: &mut Learner,
        manifest: &mut Manifest,
    ) -> Result<()> {
        checkpoint::load(&self.checkpoint, &self.state, learner)?;
        metrics::copy(
            &self.folder.join(METRICS),
            into.dir(),
            METRICS,
            &self.state.metrics,
        )?;
        self.copy_timings(into.dir())?;
        let moment = Moment {
            identity: identity.to_owned(),
            step: self.state.step,
            epoch: self.state.epoch,
            metrics: self.state.metrics.clone(),
        };
        checkpoint::save(into, learner, moment)?;
        manifest.builds = self.manifest.builds.clone();
        manifest.machines = self.manifest.machines.clone();
        manifest.left_out = self.manifest.left_out;
        manifest.continues = Some(Continued {
            run: self.folder.name(),
            identity: self.manifest.identity.clone(),
            step: self.state.step,
        });
        Ok(())
    }

    /// The lines of the steps up to the checkpoint.
    fn copy_timings(&self, into: &Held) -> Result<()> {
        let path = self.folder.join(TIMING);
        let file = files::open(&path).map_err(|e| Error::io("open", &path, &e))?;
        let mut kept = String::new();
        for line in BufReader::new(file).lines() {
            let line = line.map_err(|e| Error::io("read", &path, &e))?;
            let step = serde_json::from_str::<serde_json::Value>(&line);
            let step = step.ok().and_then(|timing| timing.get("step")?.as_u64());
            if step.is_some_and(|step| step < self.state.step) {
                kept.push_str(&line);
                kept.push('\n');
            }
        }
        into.write_atomic(TIMING, kept.as_bytes())
    }
}
