//! Finds a data set on this machine or on an object store, reads its lists and checks it against its pins.

use std::path::{Path, PathBuf};

use super::config::Config;
use super::dataset::{Dataset, Pinned, Progress};
use super::listing::{Expected, Listing};
use super::pack::{self, Pack};
use super::store::{self, Address};
use super::{
    augment, frame_folders, miniature, mixing, pins, roots, something_v2, subset, video_list,
};
use crate::base::Result;
use crate::spec::{Data, Experiment, Train};

/// How a data set is found and checked on this machine.
pub struct OpenOptions<'a> {
    /// `--data-root`.
    pub root: Option<PathBuf>,
    /// Where what comes from an object store is kept, instead of the configured folder.
    pub cache: Option<PathBuf>,
    /// Folder against which the experiment's relative paths (pins, lists, weights) are resolved.
    pub base: &'a Path,
    pub unpinned: bool,
    pub progress: &'a Progress<'a>,
}

/// What the lists of a data set say, and what is expected of them.
pub struct Listed {
    pub root: PathBuf,
    pub listing: Listing,
    pub expected: Expected,
    /// What a pack lost.
    pub lost: Option<String>,
}

impl Listed {
    /// Finds the root, renders the miniature where it is missing, and reads the lists, without checking them.
    pub fn read(experiment: &Experiment, options: &OpenOptions<'_>) -> Result<Self> {
        let root = roots::find(&experiment.data, options.root.as_deref())?;
        let data = &experiment.data;
        let pack = match store::address(&root) {
            Some(address) => Some(open_stored(&address?, options)?),
            None => Pack::open(&root)?,
        };
        if let Data::Miniature(miniature) = data
            && pack.is_none()
        {
            let report = |done, total| (options.progress)("rendering the miniature", done, total);
            miniature::render(&root, miniature, &report)?;
        }
        let lists = pack.as_ref().map_or_else(|| root.clone(), Pack::texts);
        let mut listing = match data {
            Data::FrameFolders(data) => frame_folders::read(&lists, options.base, data)?,
            Data::VideoList(data) => video_list::read(&lists, options.base, data)?,
            Data::SomethingV2(_) | Data::Miniature(_) => something_v2::read(&lists)?,
        };
        if let Some(pack) = &pack {
            pack.fill(&mut listing);
        }
        let expected = Expected {
            classes: data.class_count(),
            train: data.train_count(),
            validation: data.validation_count(),
        };
        Ok(Self {
            root,
            listing,
            expected,
            lost: pack.and_then(|pack| pack.loss()),
        })
    }
}

fn open_stored(address: &Address, options: &OpenOptions<'_>) -> Result<Pack> {
    let mut settings = Config::read()?.store;
    if let Some(cache) = &options.cache {
        settings.cache.clone_from(cache);
    }
    pack::open_stored(address, &settings)
}

impl Dataset {
    /// Finds the root (flag, environment, configuration), renders the miniature where it is missing, reads the
    /// lists, checks counts and classes against the experiment and hashes against the pins.
    pub fn open(experiment: &Experiment, options: &OpenOptions<'_>) -> Result<Self> {
        let pins = options.base.join(experiment.data.pins());
        let mut dataset = Self::find(experiment, options)?;
        if !options.unpinned {
            dataset.verify(&pins, false, options.progress)?;
        }
        dataset.keep(experiment)?;
        Ok(dataset)
    }

    /// Keeps the part of the training videos that the experiment takes. The pins are of all.
    pub fn keep(&mut self, experiment: &Experiment) -> Result<()> {
        let Train {
            subset: part,
            class_weights,
            ..
        } = &experiment.train;
        if *part < 1.0 {
            self.train = subset::subset(std::mem::take(&mut self.train), *part);
        }
        mixing::class_weights(class_weights, self).map(drop)
    }

    /// As [`Dataset::open`], without looking at the pins, and with all training videos.
    pub fn find(experiment: &Experiment, options: &OpenOptions<'_>) -> Result<Self> {
        let listed = Listed::read(experiment, options)?;
        listed.listing.check(listed.expected)?;
        Self::of(listed, experiment)
    }

    /// From lists that were read; videos of theirs may be missing.
    pub fn of(listed: Listed, experiment: &Experiment) -> Result<Self> {
        let Listing {
            classes,
            train,
            validation,
            texts,
            missing: _,
        } = listed.listing;
        let flip = &experiment.train.clips.flip;
        augment::flipped_labels(flip, &classes)?;
        augment::check_crops(flip, experiment.eval.crops, &classes)?;
        Ok(Self {
            root: listed.root,
            classes,
            whole: train.len(),
            train,
            validation,
            texts,
            pinned: Pinned::Unpinned,
            lost: listed.lost,
        })
    }

    /// Holds every hash against the pins at `path`. `full`: nothing that the cache remembers counts.
    pub fn verify(&mut self, path: &Path, full: bool, progress: &Progress<'_>) -> Result<()> {
        let (pinned, pins_sha256) = pins::of_data(path)?;
        let computed = pins::compute(self, full, progress)?;
        pins::compare(path, &pinned, &computed)?;
        self.pinned = Pinned::Verified {
            pins_sha256,
            train_root: pinned.train.root,
            validation_root: pinned.validation.root,
        };
        Ok(())
    }
}
