//! Which of a run's weights its results are of.

use std::path::{Path, PathBuf};

use super::best;
use super::checkpoint::{AVERAGE, MODEL, list, verify};
use crate::base::{Error, Kind, Result, Shown};

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
