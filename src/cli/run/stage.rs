//! `--stage`: the data on this machine's own disk first.

use std::path::{Path, PathBuf};

use crate::base::{Error, Kind, Result, Shown};
use crate::cli::options::DataOptions;
use crate::data::{roots, staging, store};
use crate::spec::Experiment;
use crate::train::opening::DataLocation;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct StageOptions {
    /// Copy the data or the pack into this folder of the machine's own disk first, as far as it is not there, and read it from
    /// there; of a pack on an object store, the folder of the cache. `'$NAME/...'` begins with what the machine has in this variable: `'$TMPDIR'`.
    #[arg(long, value_name = "DIR")]
    stage: Option<PathBuf>,
}

impl StageOptions {
    /// Where the data of an experiment are read from.
    pub fn location(&self, data: &DataOptions, experiment: &Experiment) -> Result<DataLocation> {
        let given = data.location();
        let Some(stage) = &self.stage else {
            return Ok(given);
        };
        let source = roots::find(&experiment.data, given.root.as_deref())?;
        if store::is_address(&source) {
            return Ok(DataLocation {
                cache: Some(expanded(stage)?),
                ..given
            });
        }
        let name = experiment.data.root_name();
        let staged = staging::stage(&source, &expanded(stage)?, name)?;
        Ok(DataLocation {
            root: Some(staged),
            ..given
        })
    }
}

/// With the variable at its beginning replaced: what is the same on no two machines cannot be written out.
fn expanded(path: &Path) -> Result<PathBuf> {
    let Some((name, rest)) = path.to_str().and_then(variable) else {
        return Ok(path.to_owned());
    };
    match std::env::var_os(name).filter(|value| !value.is_empty()) {
        Some(value) => Ok(Path::new(&value).join(rest.trim_start_matches('/'))),
        None => Err(Error::new(
            Kind::Usage,
            format!(
                "--stage {}: this machine has no variable `{}`",
                path.shown(),
                name.shown()
            ),
        )
        .hint("name a folder on the node's own disk, such as /tmp/ffn")),
    }
}

/// `$NAME/rest` and `${NAME}/rest` in their two pieces.
fn variable(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('$')?;
    match text.strip_prefix('{') {
        Some(text) => text.split_once('}'),
        None => Some(text.split_once('/').unwrap_or((text, ""))),
    }
}

#[cfg(test)]
mod tests {
    use super::variable;

    #[test]
    fn a_variable_at_the_beginning() {
        assert_eq!(variable("$TMPDIR/a/b"), Some(("TMPDIR", "a/b")));
        assert_eq!(variable("${TMPDIR}/a"), Some(("TMPDIR", "/a")));
        assert_eq!(variable("$TMPDIR"), Some(("TMPDIR", "")));
        assert_eq!(variable("/a/$TMPDIR"), None);
    }
}
