//! The user's configuration file: `(data: {"sthv2": "/data/sthv2"}, notify: "notify-send \"$FFN_MESSAGE\"")`.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use serde::Deserialize;

use super::store;
use crate::base::{Error, Kind, Result, Shown, files, limits};

/// Overrides the path of the file.
pub const CONFIG_VARIABLE: &str = "FFN_CONFIG";

/// What it may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where data sets are on this machine, by the name of their root.
    #[serde(default)]
    pub data: BTreeMap<String, PathBuf>,
    /// How packs on object stores are read.
    #[serde(default)]
    pub store: store::Settings,
    /// A command that a run starts when it ends, and a suite when it is judged.
    pub notify: Option<String>,
}

impl Config {
    /// Where there is no file, nothing is said.
    pub fn read() -> Result<Self> {
        match path().filter(|path| path.exists()) {
            Some(path) => read_from(&path),
            None => Ok(Self::default()),
        }
    }
}

/// The file, there or not; other files of the user's are beside it.
pub fn path() -> Option<PathBuf> {
    match env::var_os(CONFIG_VARIABLE).filter(|path| !path.is_empty()) {
        Some(path) => Some(path.into()),
        None => {
            let folders = etcetera::choose_base_strategy().ok()?;
            Some(folders.config_dir().join("ffn").join("config.ron"))
        }
    }
}

fn read_from(path: &Path) -> Result<Config> {
    // As `some`: what may be left out needs no `Some(...)`.
    let options =
        ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
    let text = files::read_text(path, limits::SETTINGS)?;
    options.from_str(&text).map_err(|error| {
        Error::new(
            Kind::Usage,
            format!(
                "the configuration file `{}`: {}",
                path.shown(),
                error.to_string().shown()
            ),
        )
        .hint("it looks like this: (data: {\"sthv2\": \"/data/sthv2\"})")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_configuration_is_named_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.ron");
        std::fs::write(&path, "(\n  data: {\"sthv2\": 5},\n)").unwrap();
        let message = read_from(&path).unwrap_err().to_string();
        insta::assert_snapshot!(message.replace(&*folder.path().to_string_lossy(), "CONFIG"));
    }

    #[test]
    fn what_is_said_needs_no_some() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.ron");
        std::fs::write(&path, "(notify: \"true\")").unwrap();
        assert_eq!(read_from(&path).unwrap().notify.as_deref(), Some("true"));
    }
}
