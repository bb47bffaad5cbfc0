//! Weights from a file that the experiment pins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::{Error, Kind, Result, Shown, files, terminal};
use crate::exchange::mapping::{Mapping, Purpose};
use crate::exchange::read::{self, Checkpoint};
use crate::exec::Statistics;
use crate::graph::Graph;

/// A file of weights whose hash is the experiment's.
pub struct Weights {
    path: PathBuf,
    checkpoint: Checkpoint,
}

impl Weights {
    /// `sha256`: what the experiment pins; without it nothing is read, and the error says what to write there.
    pub fn read(path: &Path, sha256: Option<&str>) -> Result<Self> {
        let bytes = read::bytes(path).map_err(|error| {
            let message = format!("initial weights: {}", error.message);
            Error::new(Kind::Data, message).hint(
                "put a torchvision ResNet's state_dict there, or what `ffn import` writes; or use init: Random",
            )
        })?;
        let computed = files::sha256(&bytes);
        match sha256 {
            Some(expected) if expected.eq_ignore_ascii_case(&computed) => {}
            Some(expected) => return Err(mismatch(path, expected, &computed)),
            None => return Err(unpinned(path, &computed)),
        }
        Ok(Self {
            path: path.to_owned(),
            checkpoint: read::parse(&bytes).map_err(|error| read::at(path, error))?,
        })
    }

    /// Every convolution and norm comes from the file, norms into every branch, alterations if they are there; the
    /// classifier begins anew. One error lists everything that does not fit.
    pub fn copy_into(
        &self,
        graph: &Graph,
        params: &mut [Vec<f32>],
        statistics: &mut Statistics,
    ) -> Result<()> {
        let what = format!("file of initial weights `{}`", self.path.shown());
        let mapping = Mapping::new(&what, graph, &self.checkpoint, Purpose::Initial, &[])?;
        for line in mapping.choice(&self.checkpoint) {
            terminal::say(format_args!("note: `{}`: {line}", self.path.shown()));
        }
        let loaded = mapping.load(false);
        let loaded = loaded.map_err(|error| read::at(&self.path, error))?;
        let floats = loaded.floats.into_iter();
        let mut floats: BTreeMap<_, _> = floats.map(|(name, _, values)| (name, values)).collect();
        let mut copy = |name: &str, values: &mut Vec<f32>| {
            if let Some(read) = floats.remove(name) {
                *values = read;
            }
        };
        for (param, values) in graph.params.iter().zip(params) {
            copy(&param.name, values);
        }
        let both = statistics.mean.iter_mut().zip(&mut statistics.var);
        for (stat, (mean, var)) in graph.stats.iter().zip(both) {
            copy(&format!("{}.running_mean", stat.name), mean);
            copy(&format!("{}.running_var", stat.name), var);
        }
        Ok(())
    }
}

fn mismatch(path: &Path, expected: &str, computed: &str) -> Error {
    Error::new(
        Kind::Data,
        format!(
            "hash mismatch for the initial weights `{}`\n  expected: {expected}\n  computed: {computed}",
            path.shown()
        ),
    )
    .hint("this is another file than the experiment was written for; get that one, or pin this one")
}

fn unpinned(path: &Path, computed: &str) -> Error {
    Error::new(
        Kind::Data,
        format!("the initial weights `{}` are not pinned", path.shown()),
    )
    .hint(format!(
        "write sha256: Some(\"{computed}\") beside the file's name in the experiment"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_checked_and_given() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let hash = files::sha256(b"");
        let read = |sha256| Weights::read(file.path(), sha256).map(|_| ()).unwrap_err();
        let empty = read(Some(hash.as_str()));
        assert!(empty.message.contains("the file is empty"), "{empty}");
        let message = read(Some("00")).message;
        assert!(
            message.contains("expected: 00\n") && message.ends_with(&format!("computed: {hash}"))
        );
        assert!(read(None).hint.unwrap().contains(&hash));
    }
}
