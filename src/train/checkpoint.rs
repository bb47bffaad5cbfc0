//! Model and optimiser ↔ the checkpoints of a run.

use std::path::Path;

use super::learner::Learner;
use crate::base::{Error, Kind, Result, Shown};
use crate::model::Model;
use crate::run::checkpoint::{self, AVERAGE, Files, MODEL, Moment, State};
use crate::run::optimizer_state::{self, HINT, OPTIMIZER};
use crate::run::{Folder, Working, folder, metrics, tensors, weights};

/// Saves everything that the next step reads. Weights that are not finite are refused: they would push out the
/// last good checkpoint.
pub fn save(folder: &Working, learner: &Learner, moment: Moment) -> Result<()> {
    let state = learner.model.state_dict()?;
    let broken = |values: &[f32]| values.iter().any(|value| !value.is_finite());
    if let Some((name, ..)) = state.floats.iter().find(|tensor| broken(&tensor.2)) {
        return Err(Error::new(
            Kind::Diverged,
            format!(
                "after step {} the tensor `{name}` has values that are not finite",
                moment.step
            ),
        ));
    }
    let optimizer = optimizer_state::encode(&learner.optimizer.state(&learner.model)?)?;
    let mut content = Files::from([
        (MODEL.to_owned(), tensors::encode(&state)?),
        (OPTIMIZER.to_owned(), optimizer),
    ]);
    if let Some(average) = &learner.average {
        content.insert(AVERAGE.to_owned(), tensors::encode(average.state())?);
    }
    let checkpoints = folder.dir().folder(folder::CHECKPOINTS)?;
    checkpoint::write(&checkpoints, moment, &content)?;
    checkpoint::prune(&checkpoints, checkpoint::KEPT)
}

/// What a run goes on from.
pub struct Found {
    pub state: State,
    /// Why later checkpoints were passed over.
    pub damaged: Vec<Error>,
}

/// Loads the last checkpoint that is intact and whose metrics are; `None` for a run that has none yet. Later ones,
/// which are damaged, are removed: the run makes them again. Where all are damaged nothing is touched.
pub fn restore(folder: &Working, identity: &str, learner: &mut Learner) -> Result<Option<Found>> {
    let mut damaged = Vec::new();
    let mut passed = Vec::new();
    for (_, path) in checkpoint::list(&folder.checkpoints())?.into_iter().rev() {
        match usable(folder, &path, identity) {
            Err(error) => {
                damaged.push(error);
                passed.push(path);
            }
            Ok(state) => {
                load(&path, &state, learner)?;
                let checkpoints = folder.dir().folder(folder::CHECKPOINTS)?;
                for path in passed {
                    let name = path.file_name().unwrap_or_default();
                    checkpoint::remove(&checkpoints, &name.to_string_lossy())?;
                }
                return Ok(Some(Found { state, damaged }));
            }
        }
    }
    match damaged.is_empty() {
        true => Ok(None),
        false => Err(none_is_intact(folder, &damaged)),
    }
}

fn usable(folder: &Folder, path: &Path, identity: &str) -> Result<State> {
    let state = verified(path, identity)?;
    metrics::check(&folder.join(folder::METRICS), &state.metrics)?;
    Ok(state)
}

/// The state of an intact checkpoint of this experiment.
fn verified(path: &Path, identity: &str) -> Result<State> {
    let state = checkpoint::verify(path)?;
    state.check_identity(identity, path)?;
    Ok(state)
}

fn load(path: &Path, state: &State, learner: &mut Learner) -> Result<()> {
    if let Some(average) = &mut learner.average {
        // The model holds the averaged weights against its own names and shapes.
        learner
            .model
            .load_state_dict(&tensors::decode(&path.join(AVERAGE))?)?;
        average.load(learner.model.state_dict()?);
    }
    let model = tensors::decode(&path.join(MODEL))?;
    learner.model.load_state_dict(&model)?;
    let optimizer = checkpoint::optimizer(path, state)?;
    learner
        .optimizer
        .load_state(&learner.model, &optimizer)
        .map_err(|error| {
            let file = checkpoint::optimizer_file(path, state).unwrap_or(OPTIMIZER);
            let message = format!("`{}`: {}", path.join(file).shown(), error.message);
            Error::new(error.kind, message).hint(HINT)
        })
}

/// Loads the weights that a run's results are of, for evaluation; returns the steps that they have had.
pub fn load_model(folder: &Folder, model: &mut Model) -> Result<u64> {
    let identity = folder.experiment()?.identity();
    let (step, path) = weights::of_results(folder.path(), &folder.checkpoints(), &identity)?;
    model.load_state_dict(&tensors::decode(&path)?)?;
    Ok(step)
}

fn none_is_intact(folder: &Folder, damaged: &[Error]) -> Error {
    let reasons: Vec<String> = damaged
        .iter()
        .map(|e| format!("\n- {}", e.message))
        .collect();
    Error::new(
        Kind::Run,
        format!(
            "no checkpoint of `{}` is intact{}",
            folder.path().shown(),
            reasons.concat()
        ),
    )
    .hint("bring the files back from a copy, or move the folder away: the run then starts from the beginning")
}
