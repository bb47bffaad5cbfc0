//! One of the two that are compared: an experiment file, or a run with what it left.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Options, Pair};
use crate::base::{Error, Kind, Result, Shown};
use crate::data::open::OpenOptions;
use crate::data::{Dataset, pins};
use crate::exec::{EngineKind, Fusions};
use crate::run::Folder;
use crate::run::manifest::{DataIdentity, Manifest, Pins};
use crate::spec::{self, Experiment};

pub struct Side {
    /// As the person named it.
    pub name: String,
    pub experiment: Experiment,
    /// Where the experiment's relative paths start.
    pub base: PathBuf,
    /// `None` for an experiment file.
    pub run: Option<Run>,
}

pub struct Run {
    pub folder: Folder,
    pub manifest: Manifest,
}

impl Side {
    /// An experiment file or a run folder.
    pub fn open(path: &Path) -> Result<Self> {
        match path.is_dir() {
            true => Self::of_run(path),
            false => {
                let loaded = spec::load(path)?;
                Ok(Self {
                    name: path.shown(),
                    experiment: loaded.experiment,
                    base: loaded.base,
                    run: None,
                })
            }
        }
    }

    fn of_run(path: &Path) -> Result<Self> {
        let folder = Folder::at(path);
        let manifest = folder.manifest()?;
        let history = folder.history()?;
        let base = history
            .processes
            .last()
            .map(|p| p.experiment_folder.clone());
        Ok(Self {
            name: path.shown(),
            experiment: folder.experiment()?,
            base: base.unwrap_or_default(),
            run: Some(Run { folder, manifest }),
        })
    }

    /// What a run was computed with; the compiled engine for an experiment.
    pub fn engine(&self) -> EngineKind {
        let run = self.run.as_ref();
        run.map_or(EngineKind::default(), |run| run.manifest.engine)
    }

    /// The fusions of its programs; all for an experiment.
    pub fn fusions(&self) -> Fusions {
        let run = self.run.as_ref();
        run.map_or(Fusions::ALL, |run| run.manifest.fusions)
    }

    /// A line for a person.
    pub fn describe(&self) -> String {
        let identity = self.experiment.identity();
        let identity = identity.get(..8).unwrap_or(&identity);
        let kind = match &self.run {
            Some(run) if run.manifest.finished => "finished run",
            Some(_) => "unfinished run",
            None => "experiment",
        };
        format!("{} ({kind} {identity})", self.name)
    }

    /// Where the pin file is.
    pub fn pins(&self) -> PathBuf {
        self.base.join(self.experiment.data.pins())
    }

    /// What is known of the data: of a run what it was held against, of an experiment what its pins say.
    pub fn data(&self) -> Result<DataIdentity> {
        if let Some(run) = &self.run {
            return Ok(run.manifest.data.clone());
        }
        let path = self.pins();
        if !path.exists() {
            let message = format!("there is no pin file `{}`", path.shown());
            return Err(Error::new(Kind::Data, message));
        }
        let (pins, pins_sha256) = pins::read(&path)?;
        Ok(DataIdentity {
            train: pins.train.count,
            validation: pins.validation.count,
            classes: pins.classes.len(),
            lost: None,
            pins: Pins::Verified {
                pins_sha256,
                train_root: pins.train.root,
                validation_root: pins.validation.root,
            },
        })
    }
}

/// The data of both, as they are on this machine.
pub type Data = Result<Pair<Arc<Dataset>>>;

pub fn open_data(sides: &Pair<Side>, options: &Options<'_>) -> Data {
    let open = |(side, root): (&Side, &Option<PathBuf>)| {
        let options = OpenOptions {
            root: root.clone(),
            cache: None,
            base: &side.base,
            unpinned: options.unpinned,
            progress: options.progress,
        };
        Dataset::open(&side.experiment, &options).map(Arc::new)
    };
    sides.as_ref().zip(options.roots.as_ref()).map(open).both()
}
