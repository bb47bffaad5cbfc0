//! An analysis on disk, and what it was computed from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::{Error, Kind, Result, Shown, files};
use crate::run::folder::ANALYSIS;
use crate::run::{Folder, Working, seal};

/// An analysis and what it was computed from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document<T> {
    pub origin: Origin,
    /// The second run of a comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<Origin>,
    pub content: T,
}

/// What of a run was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Name of the run's folder.
    pub run: String,
    /// SHA-256 of the run's experiment.
    pub identity: String,
    /// Training steps of the model.
    pub step: u64,
    /// SHA-256 of every file that was read, by its path in the run folder.
    pub files: BTreeMap<String, String>,
}

/// What an analysis is about.
pub trait Content: Serialize + DeserializeOwned {
    /// Name of the file in `analysis/`, without its ending.
    const NAME: &'static str;
}

impl Origin {
    /// The files of a run as they are now.
    pub fn of(folder: &Folder, step: u64, names: &[String]) -> Result<Self> {
        let hashed = names.iter().map(|name| {
            let hash = files::sha256_of_file(&folder.join(name))?;
            Ok((name.clone(), hash))
        });
        Ok(Self {
            run: folder.name(),
            identity: folder.manifest()?.identity,
            step,
            files: hashed.collect::<Result<_>>()?,
        })
    }

    /// Fails where a file of the run is not the one that was read.
    fn check(&self, folder: &Folder, document: &str) -> Result<()> {
        let stale = |what: String| {
            Error::new(
                Kind::Run,
                format!(
                    "the analysis `{document}` of `{}` is stale: {what}",
                    self.run
                ),
            )
            .hint(format!(
                "`ffn analyse {}` computes it again",
                folder.path().shown()
            ))
        };
        let identity = folder.manifest()?.identity;
        if identity != self.identity {
            return Err(stale(format!(
                "it is of experiment {}, the run of {identity}",
                self.identity
            )));
        }
        for (name, expected) in &self.files {
            let path = folder.join(name);
            if !path.exists() {
                return Err(stale(format!("`{name}` is not there any more")));
            }
            let computed = files::sha256_of_file(&path)?;
            if computed != *expected {
                return Err(stale(format!(
                    "`{name}` changed\n  expected {expected}\n  computed {computed}"
                )));
            }
        }
        Ok(())
    }
}

/// `analysis/<name>.json`, or `analysis/<name>.<other run>.json` for a comparison.
pub fn path(folder: &Folder, name: &str, against: Option<&str>) -> PathBuf {
    folder.join(ANALYSIS).join(file_name(name, against))
}

fn file_name(name: &str, against: Option<&str>) -> String {
    match against {
        None => format!("{name}.json"),
        Some(other) => format!("{name}.{other}.json"),
    }
}

impl<T: Content> Document<T> {
    pub fn new(origin: Origin, content: T) -> Self {
        Self {
            origin,
            against: None,
            content,
        }
    }

    /// Writes it into the run that it is about.
    pub fn write(&self, folder: &Working) -> Result<()> {
        let against = self.against.as_ref().map(|other| other.run.as_str());
        let analyses = folder.dir().folder(ANALYSIS)?;
        seal::write(&analyses, &file_name(T::NAME, against), self)
    }

    /// The analysis of a run; `None` where there is none. Fails where it is damaged or stale.
    pub fn read(folder: &Folder) -> Result<Option<Self>> {
        let path = path(folder, T::NAME, None);
        if !path.exists() {
            return Ok(None);
        }
        let document: Self = seal::read(&path)?;
        document.origin.check(folder, T::NAME)?;
        Ok(Some(document))
    }
}
