//! Opens what subcommands work on: a run's weights, its data.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::options::{self, DataOptions, MachineOptions};
use crate::analysis::Subject;
use crate::base::{Error, Kind, Result, Shown};
use crate::data::Dataset;
use crate::data::dataset::OpenOptions;
use crate::exec::Executor;
use crate::model::Model;
use crate::run::Folder;
use crate::run::manifest::DataIdentity;
use crate::spec::{Experiment, Init};
use crate::train::checkpoint;
use crate::train::progress::Preparation;

/// How a run is opened with its data.
pub struct Opening<'a> {
    /// Folder of the experiment file.
    pub experiments: Option<&'a Path>,
    pub data: &'a DataOptions,
    pub machine: &'a MachineOptions,
}

impl Opening<'_> {
    /// The run with its data and weights; refused where the data are not those of the run.
    pub fn open(&self, folder: Folder) -> Result<Subject> {
        let experiment = folder.experiment()?;
        let base = experiment_folder(self.experiments, &folder)?;
        let dataset = open(self.data, &experiment, &base)?;
        let manifest = folder.manifest()?;
        manifest.check_data(&DataIdentity::of(&dataset))?;
        let executor = self.machine.executor(manifest.engine)?;
        let (model, step) = load(&folder, &experiment, executor)?;
        Ok(Subject {
            folder,
            experiment,
            dataset,
            model,
            step,
            workers: options::thread_count(self.machine.workers),
        })
    }
}

/// Opens the data of an experiment whose file is in `base`.
pub fn open(data: &DataOptions, experiment: &Experiment, base: &Path) -> Result<Arc<Dataset>> {
    let preparation = Preparation::new();
    let dataset = Dataset::open(
        experiment,
        &OpenOptions {
            root: data.data_root.clone(),
            base,
            unpinned: data.unpinned,
            progress: &|name, done, total| preparation.tell(name, done, total),
        },
    )?;
    Ok(Arc::new(dataset))
}

/// The model of a run with the weights of its last checkpoint, and the steps that they have had.
pub fn load(folder: &Folder, experiment: &Experiment, executor: Executor) -> Result<(Model, u64)> {
    // The weights come from the checkpoint: those that the training began with need not be there any more.
    let mut experiment = experiment.clone();
    *experiment.model.init_mut() = Init::Random;
    let mut model = Model::new(&experiment, folder.path(), executor)?;
    let step = checkpoint::load_model(folder, &mut model)?;
    Ok((model, step))
}

/// The folder of the experiment file that a run was made from.
fn experiment_folder(given: Option<&Path>, folder: &Folder) -> Result<PathBuf> {
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
