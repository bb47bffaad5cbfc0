//! A suite's folder on disk.

use std::path::{Path, PathBuf};

use super::evidence::folders;
use super::record::{Judged, MemberRun, Record};
use crate::base::{Error, Kind, Result, Shown, files, limits};
use crate::run::folder::LOCK;
use crate::run::{Folder, Working, checkpoint, seal};
use crate::spec::{self, Settings, Suite};

pub const SUITE: &str = "suite.ron";
pub const RECORD: &str = "suite.json";
pub const VERDICTS: &str = "verdicts.json";

/// Whether a folder is that of a suite.
pub fn is_at(path: &Path) -> bool {
    path.join(SUITE).exists() || path.join(RECORD).exists()
}

/// Whether a file of this name belongs into a suite's folder.
pub fn is_of_suite(name: &str) -> bool {
    [SUITE, RECORD, VERDICTS, LOCK].contains(&name)
}

/// The folder of a suite below `runs`: `<name>-<first 8 digits of its identity>`. It is locked as a run is.
pub fn of(runs: &Path, suite: &Suite) -> Folder {
    let identity = suite.identity();
    let short = identity.get(..8).unwrap_or(&identity);
    Folder::at(runs.join(format!("{}-{short}", suite.name)))
}

/// The folder that holds a suite's folder and the runs beside it.
pub fn runs_of(folder: &Folder) -> PathBuf {
    let path = folder.path();
    match (path.file_name(), path.parent()) {
        (Some(_), Some(parent)) => parent.to_owned(),
        // Such as `.`.
        _ => path.join(".."),
    }
}

/// Writes `suite.ron` and `suite.json`. Only for who holds the lock.
pub fn begin(folder: &Working, suite: &Suite, runs: &Path) -> Result<()> {
    folder
        .dir()
        .write_atomic(SUITE, suite.canonical().as_bytes())?;
    seal::write(folder.dir(), RECORD, &record(suite, runs))
}

pub fn write_verdicts(folder: &Working, verdicts: &[Judged]) -> Result<()> {
    let text = serde_json::to_string_pretty(&verdicts)
        .map_err(|e| Error::new(Kind::Run, format!("cannot write as JSON: {e}")))?;
    folder
        .dir()
        .write_atomic(VERDICTS, (text + "\n").as_bytes())
}

/// The suite itself, from its canonical form.
pub fn read(folder: &Folder) -> Result<Suite> {
    let path = folder.join(SUITE);
    let text = files::read_text(&path, limits::SUITE)?;
    let name = path.shown();
    Ok(spec::suite::parse(&name, &text, folder.path(), &Settings::default())?.suite)
}

/// What the suite consists of; refused where `suite.ron` is not the file that it speaks of.
pub fn read_record(folder: &Folder) -> Result<Record> {
    let record: Record = seal::read(&folder.join(RECORD))?;
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

/// The verdicts as they were written.
pub fn read_verdicts(folder: &Folder) -> Result<Vec<Judged>> {
    let path = folder.join(VERDICTS);
    let again = |error: Error| error.hint("`ffn run` with the suite's file judges its claims");
    let text = files::read_text(&path, limits::SUITE).map_err(again)?;
    serde_json::from_str(&text)
        .map_err(|e| Error::new(Kind::Run, format!("`{}` is damaged: {e}", path.shown())))
        .map_err(again)
}

/// What a suite consists of whose runs are in `runs`.
pub fn record(suite: &Suite, runs: &Path) -> Record {
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
