//! Training that is done already: by a run beside this one whose experiment trains the same.
//!
//! Two experiments that differ in what training does not read ([`Experiment::training`]), in `eval.frames` say, compute the
//! same steps from the same pinned data, initial weights, engine and device class. So a new run begins with the last checkpoint
//! of such a neighbour and with the metrics up to it: the bytes that it would have computed, as far as the builds that the
//! manifest lists compute the same. Evaluations between epochs that lie before are not made.
//!
//! Nothing of a neighbour is written or locked. What is read of it is held against its hashes, so that one that is damaged,
//! or that removes a checkpoint at this moment, is passed over.

use std::path::{Path, PathBuf};

use crate::base::Result;
use crate::run::checkpoint::{self, Content, Moment};
use crate::run::folder::{CHECKPOINTS, METRICS};
use crate::run::left_out::LeftOut;
use crate::run::manifest::{Continued, Manifest};
use crate::run::{Folder, Working, metrics};
use crate::spec::{self, Difference, Experiment};

/// A run whose training is the beginning of another's, as far as it has come.
pub struct Trained {
    folder: Folder,
    manifest: Manifest,
    checkpoint: Content,
    /// The metrics up to the checkpoint.
    metrics: Vec<u8>,
}

/// The neighbour of `folder` that is furthest in the training of the run that `manifest` begins on a device of this class.
pub fn find(
    folder: &Folder,
    experiment: &Experiment,
    manifest: &Manifest,
    device_class: &str,
) -> Option<Trained> {
    // What lies between its checkpoints, evaluations and the best weights, would be missing.
    if experiment.train.depends_on_evaluation() {
        return None;
    }
    let training = experiment.training();
    let checkpoints = |(neighbour, other): (Folder, Experiment)| {
        let found = (other.training() == training).then(|| neighbour.manifest())?;
        let found = found.ok().filter(|found| {
            let mut machines = found.machines.iter();
            trains_alike(found, manifest) && machines.all(|m| m.device_class == device_class)
        })?;
        let all = checkpoint::list(&neighbour.checkpoints()).ok()?.into_iter();
        let early = all.filter(|(step, _)| (1..=manifest.steps).contains(step));
        let early = early.map(move |(step, path)| (step, path, neighbour.clone(), found.clone()));
        Some(early.collect::<Vec<_>>())
    };
    let found = neighbours(folder).into_iter().filter_map(checkpoints);
    let mut found: Vec<_> = found.flatten().collect();
    found.sort_by_key(|(step, ..)| std::cmp::Reverse(*step));
    let mut intact = found
        .into_iter()
        .filter_map(|(_, path, folder, manifest)| Trained::read(folder, manifest, path).ok());
    intact.next()
}

/// The run beside `folder` that trains otherwise and whose experiment differs in the fewest fields, with those; `None` where all
/// differ in more than `most`.
pub fn nearest(
    folder: &Folder,
    experiment: &Experiment,
    most: usize,
) -> Option<(Folder, Vec<Difference>)> {
    let training = experiment.training();
    let others = neighbours(folder).into_iter();
    let others = others.filter(|(_, other)| other.training() != training);
    let differing = others.filter_map(|(neighbour, other)| {
        let differences = spec::diff(&other, experiment);
        (differences.len() <= most).then_some((neighbour, differences))
    });
    differing.min_by_key(|(_, differences)| differences.len())
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

/// Whether two runs of the same training begin with the same bits and go on by the same computation. Data that nobody checked
/// may be any.
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
    !a.unpinned() && read(a) == read(b)
}

impl Trained {
    fn read(folder: Folder, manifest: Manifest, path: PathBuf) -> Result<Self> {
        let checkpoint = checkpoint::read(&path, &manifest.identity)?;
        let metrics = metrics::marked(&folder.join(METRICS), &checkpoint.state.metrics)?;
        Ok(Self {
            folder,
            manifest,
            checkpoint,
            metrics,
        })
    }

    /// Writes the checkpoint and the metrics up to it into a run that begins, and says so in its manifest.
    pub fn adopt(&self, into: &Working, identity: &str, manifest: &mut Manifest) -> Result<()> {
        let Content { state, files } = &self.checkpoint;
        into.dir().write_atomic(METRICS, &self.metrics)?;
        let moment = Moment {
            identity: identity.to_owned(),
            step: state.step,
            epoch: state.epoch,
            metrics: state.metrics.clone(),
        };
        let checkpoints = into.dir().folder(CHECKPOINTS)?;
        checkpoint::write(&checkpoints, moment, files)?;
        manifest.builds = self.manifest.builds.clone();
        manifest.machines = self.manifest.machines.clone();
        manifest.left_out = LeftOut::read(&into.join(METRICS))?.count();
        manifest.continues = Some(Continued {
            run: self.folder.name(),
            identity: self.manifest.identity.clone(),
            step: state.step,
        });
        Ok(())
    }
}
