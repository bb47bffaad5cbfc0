//! `--judge`: what the runs that are there say of the claims of suites.

use super::notify::Notifier;
use super::{Args, Task, together};
use crate::base::{Error, Kind, Result};
use crate::cli::suites;
use crate::run::overview::Overview;
use crate::run::{Working, verify};
use crate::spec::Suite;
use crate::suite;

/// Judges the claims of all suites. Fails where a run is not finished, and says which.
pub fn run(args: &Args, tasks: &[Task], suites: &[&Suite], notifier: &Notifier) -> Result<()> {
    if suites.is_empty() {
        let message = "--judge: none of the files is a suite, and nothing else has claims";
        return Err(Error::new(Kind::Usage, message));
    }
    let folders = suites::lock_all(suites, &args.out)?;
    let mut errors: Vec<Error> = unfinished(tasks)?.into_iter().collect();
    for (suite, folder) in suites.iter().zip(&folders) {
        errors.extend(conclude(args, suite, folder, notifier)?.err());
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(together(errors)),
    }
}

/// Judges the claims of one suite and tells of it. The inner result is that of the process.
pub fn conclude(
    args: &Args,
    suite: &Suite,
    folder: &Working,
    notifier: &Notifier,
) -> Result<Result<()>> {
    let judged = suites::judge(suite, folder, &args.out)?;
    notifier.judged(&suite.name, folder.path(), &judged);
    Ok(suite::conclude(&suite.name, &judged, args.strict))
}

/// Runs that are not finished, as an error. Those that are finished must be as they were written.
fn unfinished(tasks: &[Task]) -> Result<Option<Error>> {
    let mut lines = Vec::new();
    for task in tasks {
        let state = match task.folder.exists() {
            false => "not begun",
            true if task.folder.manifest()?.finished => {
                verify::intact(&task.folder)?;
                continue;
            }
            true => Overview::of(task.folder.clone())?.state.name(),
        };
        let name = task.folder.name();
        lines.push(format!("\n  {}, {name}: {state}", task.label));
    }
    let message = format!(
        "{} of {} runs are not finished:{}",
        lines.len(),
        tasks.len(),
        lines.concat()
    );
    Ok((!lines.is_empty()).then(|| {
        Error::new(Kind::Run, message)
            .hint("`ffn run` without --judge computes them here, `ffn submit` on a cluster")
    }))
}
