//! Which of a run's weights its results are of.

use std::path::{Path, PathBuf};

use super::best;
use super::checkpoint::{AVERAGE, MODEL, list, verify};
use super::manifest::Manifest;
use super::results::Summary;
use crate::base::{Error, Kind, Result, Shown};
use crate::spec::{Keep, Train};

/// The weights of a run that its results are of, by step and file: the best that it keeps, else the averaged ones of the last
/// checkpoint, else that checkpoint's. They are held against their hashes.
pub fn of_results(run: &Path, checkpoints: &Path, identity: &str) -> Result<(u64, PathBuf)> {
    if let Some((place, best)) = best::find(checkpoints)? {
        best::verify(&place, &best, identity)?;
        return Ok((best.step, place.join(MODEL)));
    }
    let all = list(checkpoints)?;
    let (_, path) = all.last().ok_or_else(|| {
        let message = format!("the run `{}` has no checkpoint yet", run.shown());
        Error::new(Kind::Run, message)
    })?;
    let state = verify(path)?;
    state.check_identity(identity, path)?;
    let file = match state.files.contains_key(AVERAGE) {
        true => AVERAGE,
        false => MODEL,
    };
    Ok((state.step, path.join(file)))
}

/// What a reader of the results has to know of their weights; `None` where they are those of the last epoch that was planned. The best
/// of several evaluations is chosen by the clips that its result is told of, so it is above what other clips would give.
pub fn describe(train: &Train, manifest: &Manifest, results: &[Summary]) -> Option<String> {
    let mut words = Vec::new();
    if let Keep::Best { frames } = train.keep {
        let step = results.first().map(|summary| summary.step);
        let step = step.map_or(String::new(), |step| format!(", of step {step}"));
        words.push(format!(
            "chosen by validation top-1 at {frames} frames{step}"
        ));
    }
    if train.ema.is_some() {
        words.push("averaged weights".to_owned());
    }
    if let Some(early) = &manifest.stopped_early {
        let (steps, planned) = (manifest.steps, early.planned_steps);
        words.push(format!("ended early, at step {steps} of {planned}"));
    }
    (!words.is_empty()).then(|| words.join(", "))
}
