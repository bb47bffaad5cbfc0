//! What a run was made by: the build of this program and the machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::files;
use crate::exec::DeviceId;
use crate::exec::cpu::processor;
use crate::exec::cuda::libraries::Search;
use crate::exec::cuda::probe::Probe;

/// Cargo.lock as it was when this program was built.
const CARGO_LOCK: &str = include_str!("../../Cargo.lock");

/// Crates whose version can change a number.
const CRATES: [&str; 5] = ["dfdx", "libm", "pulp", "rusty_vp9", "zune-jpeg"];

/// One build of this program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    pub version: String,
    /// `None`: built outside a clone, or without git.
    pub commit: Option<String>,
    /// Whether the sources differed from the commit.
    pub dirty: Option<bool>,
    /// SHA-256 over the sources, whatever git says.
    pub source_sha256: String,
    pub cargo_lock_sha256: String,
    pub crates: BTreeMap<String, String>,
}

impl Build {
    /// The build that is running.
    pub fn this() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("FFN_COMMIT").map(str::to_owned),
            dirty: option_env!("FFN_DIRTY").map(|dirty| dirty == "true"),
            source_sha256: env!("FFN_SOURCE_SHA256").to_owned(),
            cargo_lock_sha256: files::sha256(CARGO_LOCK.as_bytes()),
            crates: CRATES
                .iter()
                .filter_map(|name| Some((name.to_string(), locked_version(CARGO_LOCK, name)?)))
                .collect(),
        }
    }

    /// A few words for people: version, commit, whether it is a commit's code.
    pub fn describe(&self) -> String {
        format!("ffn {} ({})", self.version, self.origin())
    }

    /// The commit, and whether the build is a commit's code; without git the hash of the sources.
    pub fn origin(&self) -> String {
        let commit = match &self.commit {
            Some(commit) => format!("commit {}", commit.get(..12).unwrap_or(commit)),
            None => format!(
                "source {}",
                self.source_sha256.get(..12).unwrap_or_default()
            ),
        };
        let dirty = match self.dirty {
            Some(true) => ", with changes that are not committed",
            _ => "",
        };
        format!("{commit}{dirty}")
    }
}

/// The version of a package in the text of a Cargo.lock; of several, the last.
fn locked_version(lock: &str, name: &str) -> Option<String> {
    let header = format!("[[package]]\nname = \"{name}\"\nversion = \"");
    let (_, rest) = lock.rsplit_once(&header)?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// A machine, as far as it can matter for results or speed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub os: String,
    /// Within one device class the same experiment gives the same bytes.
    pub device_class: String,
}

impl Machine {
    /// The machine that this runs on.
    pub fn this() -> Self {
        Self {
            cpu: processor::name(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            device_class: processor::class(),
        }
    }

    /// The machine that this runs on, in the class of the device that computes.
    pub fn with(device: DeviceId) -> Self {
        let machine = Self::this();
        match device {
            DeviceId::Cpu => machine,
            DeviceId::Cuda(ordinal) => Self {
                device_class: Probe::new(&Search::default()).device_class(ordinal),
                ..machine
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_build_knows_its_lock_file() {
        let build = Build::this();
        assert_eq!(build.crates.len(), CRATES.len(), "{:?}", build.crates);
        assert_eq!(build.source_sha256.len(), 64);
    }

    #[test]
    fn locked_version_reads_a_lock_file() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.2.3\"\n\n[[package]]\nname = \"ab\"\nversion = \"4\"\n";
        assert_eq!(locked_version(lock, "a").as_deref(), Some("1.2.3"));
        assert_eq!(locked_version(lock, "b"), None);
    }

    #[test]
    fn this_machine_has_no_path_and_no_name() {
        let machine = Machine::this();
        assert!(machine.cores > 0 && !machine.cpu.contains('/'));
    }
}
