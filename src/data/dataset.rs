//! A data set on this machine: where it is, its classes, its samples; checked against its pins.

use std::path::{Path, PathBuf};

use super::video::Source;
use crate::base::Result;
use crate::spec::Experiment;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    Train,
    Validation,
}

#[derive(Debug, Clone)]
pub struct Sample {
    /// The id of the distribution: the video's name without its extension, or the frame folder.
    pub id: String,
    pub label: usize,
    pub source: Source,
}

#[derive(Debug, Clone)]
pub struct Dataset {
    pub root: PathBuf,
    /// Class names in label order.
    pub classes: Vec<String>,
    pub train: Vec<Sample>,
    pub validation: Vec<Sample>,
    /// Merkle roots and what they were held against, for the manifest.
    pub pinned: Pinned,
}

/// What is known of the data's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pinned {
    /// Every video's hash is the pinned one.
    Verified {
        pins_sha256: String,
        train_root: String,
        validation_root: String,
    },
    /// `--unpinned`: nobody checked; every report says so.
    Unpinned,
}

/// How a data set is found and checked on this machine.
pub struct OpenOptions<'a> {
    /// `--data-root`.
    pub root: Option<PathBuf>,
    /// Folder against which the experiment's relative paths (pins, lists, weights) are resolved.
    pub base: &'a Path,
    pub unpinned: bool,
    /// Progress in a person's words: (what, done, total).
    pub progress: &'a (dyn Fn(&str, usize, usize) + Sync),
}

impl Dataset {
    /// Finds the root (flag, environment, configuration), renders the miniature where it is missing, reads the
    /// lists, checks counts and classes against the experiment and hashes against the pins.
    pub fn open(_experiment: &Experiment, _options: &OpenOptions<'_>) -> Result<Self> {
        todo!()
    }

    pub fn split(&self, split: Split) -> &[Sample] {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
        }
    }
}
