//! A data set on this machine: where it is, its classes, its samples. `open.rs` finds it and checks it against its pins.

use std::path::PathBuf;

use serde::Serialize;

use super::video::{self, Source};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    Train,
    Validation,
}

#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Training videos of the whole data set, of which `train` may be a part.
    pub whole: usize,
    /// The label files, under the names that the pins give them.
    pub texts: Vec<(String, PathBuf)>,
    /// What it was held against, for the manifest.
    pub pinned: Pinned,
    /// What a pack of it lost.
    pub lost: Option<String>,
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

/// Progress in a person's words: (what, done, total).
pub type Progress<'a> = dyn Fn(&str, usize, usize) + Sync + 'a;

impl Dataset {
    /// Those of training, then those of validation.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.train.iter().chain(&self.validation)
    }

    /// How many videos one thread decodes together. A data set has one kind of videos, or few.
    pub fn together(&self) -> usize {
        const LOOKED_AT: usize = 16;
        let first = self.samples().take(LOOKED_AT);
        video::together_at_most(first.map(|sample| &sample.source))
    }

    pub fn split(&self, split: Split) -> &[Sample] {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
        }
    }
}
