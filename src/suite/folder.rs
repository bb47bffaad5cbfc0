//! A suite's folder on disk.

use std::path::Path;

use super::evidence::folders;
use super::record::{Judged, MemberRun, Record};
use crate::base::{Error, Kind, Result, files};
use crate::run::{Folder, checkpoint};
use crate::spec::Suite;

const SUITE: &str = "suite.ron";
pub const RECORD: &str = "suite.json";
pub const VERDICTS: &str = "verdicts.json";

/// Whether a folder is that of a suite.
pub fn is_at(path: &Path) -> bool {
    path.join(RECORD).exists()
}

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

/// What the suite consists of; refused where `suite.ron` is not the file that it speaks of.
pub fn read_record(folder: &Folder) -> Result<Record> {
    let record: Record = read_json(&folder.join(RECORD))?;
    let suite = folder.join(SUITE);
    let computed = files::sha256_of_file(&suite)?;
    match computed == record.identity {
        true => Ok(record),
        false => Err(checkpoint::hash_mismatch(
            &suite,
            &record.identity,
            &computed,
        )),
    }
}

pub fn read_verdicts(folder: &Folder) -> Result<Vec<Judged>> {
    read_json(&folder.join(VERDICTS))
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

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&files::read_text(path)?)
        .map_err(|e| Error::new(Kind::Run, format!("`{}` is damaged: {e}", path.display())))
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::new(Kind::Run, format!("cannot write as JSON: {e}")))?;
    files::write_atomic(path, (text + "\n").as_bytes())
}
