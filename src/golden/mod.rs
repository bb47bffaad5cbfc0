//! Golden bundles: what another program computed, or an earlier version of this one, held against what is computed now.
//!
//! The format of a bundle is in the book, `book/src/golden.md`. A model case runs through the same [`crate::model::Model`] and
//! [`crate::train::Optimizer`] as a training run; nothing is implemented a second time here but the procedural weights.

mod raw;
mod case;
mod source;
mod procedural;
mod tensors;
mod taps;
mod network;
mod compute;
mod compare;
mod record;
mod official_names;
mod preprocess;

use std::path::{Path, PathBuf};

pub use crate::spec::network::{Network, Training, experiment, held_still};
pub use case::{Case, Steps};
pub use compare::{Comparison, FACTOR, FLOOR, Group, Rule, Worst};
pub use network::{Bundle as ModelBundle, CASE};
pub use raw::{ReferenceError, Source};
pub use record::{Recipe, Recorded, record};
pub use tensors::{Tensor, Tensors};

use crate::base::{Error, Kind, Result, Shown};
use crate::exec::Executor;

/// A bundle that was read and understood; nothing has been computed yet.
pub enum Bundle {
    Model(Box<network::Bundle>),
    Preprocess(Box<preprocess::Bundle>),
    Names(official_names::Bundle),
}

/// The bundles at `paths`: each a bundle or a folder of bundles, in the order of their names. All are read before any
/// is computed.
pub fn open(paths: &[PathBuf]) -> Result<Vec<Bundle>> {
    let mut bundles = Vec::new();
    for path in paths {
        let found = open_path(path)?;
        if found.is_empty() {
            let message = format!("`{}` holds no golden bundle", path.shown());
            return Err(Error::new(Kind::Data, message).hint(
                "a bundle is a folder with case.json and expected.safetensors, a folder with cases.json, \
                 or a file state_dict_names.json; book/src/golden.md describes them",
            ));
        }
        bundles.extend(found);
    }
    Ok(bundles)
}

fn open_path(path: &Path) -> Result<Vec<Bundle>> {
    if let Some(bundle) = open_bundle(path)? {
        return Ok(vec![bundle]);
    }
    let unreadable =
        |e: std::io::Error| Error::new(Kind::Data, format!("cannot read `{}`: {e}", path.shown()));
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        entries.push(entry.map_err(unreadable)?.path());
    }
    entries.sort();
    let bundles = entries
        .iter()
        .filter_map(|entry| open_bundle(entry).transpose());
    bundles.collect()
}

/// `None` for a path that is no bundle itself.
fn open_bundle(path: &Path) -> Result<Option<Bundle>> {
    if path.join(network::CASE).exists() || path.join(network::EXPECTED).exists() {
        let bundle = network::Bundle::open(path)?;
        return Ok(Some(Bundle::Model(Box::new(bundle))));
    }
    if path.join(preprocess::CASES).exists() {
        let bundle = preprocess::Bundle::open(path)?;
        return Ok(Some(Bundle::Preprocess(Box::new(bundle))));
    }
    if path.file_name().is_some_and(official_names::is_file) {
        return Ok(Some(Bundle::Names(official_names::Bundle::open(path)?)));
    }
    Ok(None)
}

impl Bundle {
    /// Computes everything that the bundle fixes and compares.
    pub fn verify(&self, executor: Executor) -> Result<Comparison> {
        match self {
            Bundle::Model(bundle) => bundle.verify(executor),
            Bundle::Preprocess(bundle) => bundle.verify(),
            Bundle::Names(bundle) => bundle.verify(),
        }
    }
}
