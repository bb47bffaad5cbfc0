//! Opens what work on a run begins with: its data, its weights, the folder of its experiment file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint;
use super::machine::MachineChoice;
use super::progress::Preparation;
use crate::base::{Error, Kind, Result, Shown};
use crate::data::Dataset;
use crate::data::open::OpenOptions;
use crate::exec::Executor;
use crate::model::Model;
use crate::run::Folder;
use crate::spec::{Experiment, Init};

/// How a run is opened with its data.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Folder of the experiment file; else the one that the run was made from.
    pub experiments: Option<PathBuf>,
    pub data: DataLocation,
    pub machine: MachineChoice,
}

/// Where the data are, and whether they must be the pinned ones.
#[derive(Debug, Clone, Default)]
pub struct DataLocation {
    /// Folder of the data set, or its address on an object store; else environment or configuration say where it is.
    pub root: Option<PathBuf>,
    /// Where what comes from an object store is kept, instead of the configured folder.
    pub cache: Option<PathBuf>,
    /// Work on data that nobody pinned.
    pub unpinned: bool,
}

impl DataLocation {
    /// Opens the data of an experiment whose file is in `base`, and tells a person what that takes.
    pub fn open(&self, experiment: &Experiment, base: &Path) -> Result<Arc<Dataset>> {
        let preparation = Preparation::new();
        let dataset = Dataset::open(
            experiment,
            &OpenOptions {
                root: self.root.clone(),
                cache: self.cache.clone(),
                base,
                unpinned: self.unpinned,
                progress: &|name, done, total| preparation.tell(name, done, total),
            },
        )?;
        Ok(Arc::new(dataset))
    }
}

/// The model of a run with the weights of its last checkpoint, and the steps that they have had.
pub fn model(folder: &Folder, experiment: &Experiment, executor: Executor) -> Result<(Model, u64)> {
    // The weights come from the checkpoint: those that the training began with need not be there any more.
    let mut experiment = experiment.clone();
    *experiment.model.init_mut() = Init::Random;
    let mut model = Model::new(&experiment, folder.path(), executor)?;
    let step = checkpoint::load_model(folder, &mut model)?;
    Ok((model, step))
}

/// The folder of the experiment file: `given`, or the one that the run was made from.
pub fn experiment_folder(given: Option<&Path>, folder: &Folder) -> Result<PathBuf> {
    let base = match (given, folder.history()?.processes.last()) {
        (Some(base), _) => base.to_owned(),
        (None, Some(process)) => process.experiment_folder.clone(),
        (None, None) => PathBuf::new(),
    };
    match Path::new(".").join(&base).is_dir() {
        true => Ok(base),
        false => Err(Error::new(
            Kind::Usage,
            format!(
                "the folder of the experiment file, `{}`, is not there",
                base.shown()
            ),
        )
        .hint("--experiments DIR says where it is; the pins are in it")),
    }
}
