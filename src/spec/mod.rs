//! RON text → raw types that mirror the file → the resolved [`Experiment`].
//!
//! After resolving nobody reads the file again: every later stage takes an [`Experiment`].

pub mod experiment;

use std::path::{Path, PathBuf};

pub use experiment::*;

use crate::base::Result;

/// An experiment that was read from a file and has no mistake.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub experiment: Experiment,
    /// The file's folder: relative paths in the experiment (pins, weights, lists) start here.
    pub base: PathBuf,
    /// Rendered warnings, for the person who runs it.
    pub warnings: Vec<String>,
}

/// Reads and checks an experiment file. The error's message is the whole rendered report: every mistake of the file.
pub fn load(_path: &Path) -> Result<Loaded> {
    todo!()
}

impl Experiment {
    /// The canonical form: RON with every field spelled out in a fixed order; reading it gives the same experiment.
    pub fn canonical(&self) -> String {
        todo!()
    }

    /// SHA-256 of the canonical form: the experiment's identity.
    pub fn identity(&self) -> String {
        crate::base::files::sha256(self.canonical().as_bytes())
    }
}
