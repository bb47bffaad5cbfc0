//! Recomputes every hash of a run folder.

use std::path::Path;

use super::checkpoint;
use super::finish::is_record;
use super::folder::{ANALYSIS, CLASSES, EXPERIMENT, Folder, METRICS};
use super::left_out::LeftOut;
use super::manifest::Manifest;
use super::{best, metrics, seal};
use crate::base::{Error, Kind, Result, Shown, files};

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Files and documents that were checked.
    pub checked: usize,
    /// What is not as it was written.
    pub problems: Vec<Error>,
    /// Training videos that the metrics say were left out.
    pub left_out: usize,
    /// Files that no hash covers, by their path in the folder.
    pub unlisted: Vec<String>,
}

impl Report {
    /// Counts a check.
    pub fn note(&mut self, outcome: Result<()>) {
        self.value(outcome);
    }

    /// Counts a check that gives a value where it passes.
    pub fn value<T>(&mut self, outcome: Result<T>) -> Option<T> {
        self.checked += 1;
        outcome.map_err(|error| self.problems.push(error)).ok()
    }

    /// Counts all checks of another folder.
    pub fn add(&mut self, other: Report) {
        self.checked += other.checked;
        self.left_out += other.left_out;
        self.problems.extend(other.problems);
    }
}

/// Refuses a run in which anything is not as it was written.
pub fn intact(folder: &Folder) -> Result<()> {
    match verify(folder)?.problems.into_iter().next() {
        None => Ok(()),
        Some(problem) => Err(problem.hint(format!(
            "`ffn verify {}` lists all that is not as it was written",
            folder.path().shown()
        ))),
    }
}

/// Refuses a run that is not finished whose documents are not those that it began with.
pub fn beginning(folder: &Folder, manifest: &Manifest) -> Result<()> {
    folder.experiment()?;
    let documents = [EXPERIMENT, CLASSES].map(|name| Some((name, manifest.files.get(name)?)));
    for (name, expected) in documents.into_iter().flatten() {
        check_hash(&folder.join(name), expected).map_err(|error| {
            error.hint("bring the file back from a copy, or move the folder away: the run then starts from the beginning")
        })?;
    }
    Ok(())
}

/// Checks seals, the experiment's identity, every listed file, the inner hashes of checkpoints and the continuity of
/// the metrics. Fails only where the folder is no run; what is wrong inside it is in the report.
pub fn verify(folder: &Folder) -> Result<Report> {
    let mut report = Report::default();
    if !folder.exists() {
        folder.manifest()?;
    }
    report.note(folder.experiment().map(drop));
    report.note(folder.classes().map(drop));
    let manifest = match folder.manifest() {
        Ok(manifest) => Some(manifest),
        Err(error) => {
            report.note(Err(error));
            None
        }
    };
    check_history(folder, &mut report);
    check_checkpoints(folder, manifest.as_ref(), &mut report)?;
    for name in folder.files()?.iter().filter(|name| is_analysis(name)) {
        report.note(seal::check(&folder.join(name)));
    }
    if let Some(manifest) = manifest {
        check_files(folder, &manifest, &mut report)?;
    }
    Ok(report)
}

/// Analyses come and go after a run is finished: each carries its own seal.
fn is_analysis(name: &str) -> bool {
    let file = name
        .split_once('/')
        .filter(|(folder, _)| *folder == ANALYSIS);
    file.is_some_and(|(_, file)| file.ends_with(".json"))
}

fn check_history(folder: &Folder, report: &mut Report) {
    match folder.history() {
        Ok(history) => {
            report.checked += 1;
            for (name, expected) in &history.files {
                report.note(check_hash(&folder.join(name), expected));
            }
        }
        Err(error) => report.note(Err(error)),
    }
}

fn check_files(folder: &Folder, manifest: &Manifest, report: &mut Report) -> Result<()> {
    for (name, expected) in &manifest.files {
        report.note(check_hash(&folder.join(name), expected));
    }
    if !manifest.finished {
        return Ok(());
    }
    let steps = metrics::read(&folder.join(METRICS)).and_then(|records| {
        report.left_out = LeftOut::of(&records).count();
        // Manifests of before say nothing.
        let is_told = [0, report.left_out].contains(&manifest.left_out);
        match records.len() as u64 == manifest.steps {
            true if is_told => Ok(()),
            true => Err(Error::new(
                Kind::Run,
                format!(
                    "`{METRICS}` names {} training videos that were left out, expected {}",
                    report.left_out, manifest.left_out
                ),
            )),
            false => Err(Error::new(
                Kind::Run,
                format!(
                    "`{METRICS}` has {} steps, expected {}",
                    records.len(),
                    manifest.steps
                ),
            )),
        }
    });
    report.note(steps);
    let listed =
        |name: &String| manifest.files.contains_key(name) || is_record(name) || is_analysis(name);
    report.unlisted = folder.files()?;
    report.unlisted.retain(|name| !listed(name));
    Ok(())
}

fn check_checkpoints(
    folder: &Folder,
    manifest: Option<&Manifest>,
    report: &mut Report,
) -> Result<()> {
    match best::find(&folder.checkpoints()) {
        Ok(None) => {}
        Ok(Some((place, found))) => {
            let identity = manifest.map_or(&found.identity, |manifest| &manifest.identity);
            report.note(best::verify(&place, &found, identity));
        }
        Err(error) => report.note(Err(error)),
    }
    let checkpoints = checkpoint::list(&folder.checkpoints())?;
    let last = checkpoints.last().map(|(step, _)| *step);
    for (step, path) in checkpoints {
        // Its state is the first to go: a process was killed while it removed an old checkpoint.
        if Some(step) != last && !path.join(checkpoint::STATE).exists() {
            continue;
        }
        let outcome = checkpoint::verify(&path).and_then(|state| {
            metrics::check(&folder.join(METRICS), &state.metrics)?;
            let identity = manifest.is_none_or(|manifest| manifest.identity == state.identity);
            match identity && state.step == step {
                true => Ok(()),
                false => Err(Error::new(
                    Kind::Run,
                    format!("`{}` is of another run or step", path.shown()),
                )),
            }
        });
        report.note(outcome);
    }
    Ok(())
}

fn check_hash(path: &Path, expected: &str) -> Result<()> {
    if !path.exists() {
        return Err(Error::new(
            Kind::Run,
            format!("`{}` is missing", path.shown()),
        ));
    }
    let computed = files::sha256_of_file(path)?;
    match computed == expected {
        true => Ok(()),
        false => Err(checkpoint::hash_mismatch(path, expected, &computed)),
    }
}
