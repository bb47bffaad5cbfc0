//! A suite's folder on disk.

use std::path::Path;

use super::evidence::folders;
use super::record::{Judged, MemberRun, Record};
use crate::base::{Error, Kind, Result, files};
use crate::run::Folder;
use crate::spec::Suite;

pub const SUITE: &str = "suite.ron";
pub const RECORD: &str = "suite.json";
pub const VERDICTS: &str = "verdicts.json";

/// The folder of a suite below `runs`: `<name>-<first 8 digits of its identity>`. It is locked as a run is.
pub fn of(runs: &Path, suite: &Suite) -> Folder {
    let identity = suite.identity();
    let short = identity.get(..8).unwrap_or(&identity);
    Folder::at(runs.join(format!("{}-{short}", suite.name)))
}

/// Writes `suite.ron` and `suite.json`. Only for who holds the lock.
pub fn begin(folder: &Folder, suite: &Suite, runs: &Path) -> Result<()> {
    folder.remove_unfinished()?;
    files::write_atomic(&folder.join(SUITE), suite.canonical().as_bytes())?;
    write_json(&folder.join(RECORD), &record(suite, runs))
}

pub fn write_verdicts(folder: &Folder, verdicts: &[Judged]) -> Result<()> {
    write_json(&folder.join(VERDICTS), &verdicts)
}

fn record(suite: &Suite, runs: &Path) -> Record {
    let members = suite.members.iter().flat_map(|member| {
        let runs = member.experiments().zip(folders(runs, member));
        runs.map(|(experiment, folder)| {
            let mut variant = member.variant.clone();
            variant.insert("seed".to_owned(), experiment.seed.to_string());
            MemberRun {
                name: member.name.clone(),
                variant,
                run: folder.name(),
                identity: experiment.identity(),
            }
        })
    });
    Record {
        name: suite.name.clone(),
        identity: suite.identity(),
        members: members.collect(),
    }
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::new(Kind::Run, format!("cannot write as JSON: {e}")))?;
    files::write_atomic(path, (text + "\n").as_bytes())
}
