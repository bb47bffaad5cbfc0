//! `ffn verify`

use std::path::PathBuf;

use crate::base::{Error, Kind, Result, terminal};
use crate::run::verify::{Report, verify};
use crate::run::{Folder, left_out};
use crate::suite;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of a run; or of a suite, whose runs are beside it and whose claims are judged again.
    #[arg(value_name = "RUN|SUITE")]
    folder: PathBuf,
}

pub fn run(args: Args) -> Result<()> {
    let folder = Folder::at(&args.folder);
    let report = match suite::folder::is_at(&args.folder) {
        true => suite::verify::verify(&folder)?,
        false => verify(&folder)?,
    };
    for name in &report.unlisted {
        terminal::line(format_args!(
            "unlisted: `{name}` belongs to no result in this folder"
        ))?;
    }
    if let Some(left_out) = left_out::describe(report.left_out) {
        terminal::line(format_args!(
            "{left_out} of training because of damage, as `unreadable: Skip` declares; metrics and log name them"
        ))?;
    }
    if report.problems.is_empty() {
        terminal::line(format_args!(
            "{}: {} checks, all as written",
            folder.name(),
            report.checked
        ))?;
        return Ok(());
    }
    Err(failure(&report))
}

fn failure(report: &Report) -> Error {
    let problems: Vec<String> = report
        .problems
        .iter()
        .map(|e| format!("\n- {}", e.message))
        .collect();
    let message = format!(
        "{} of {} checks failed{}",
        report.problems.len(),
        report.checked,
        problems.concat()
    );
    Error {
        kind: Kind::Mismatch,
        message,
        hint: report.problems.iter().find_map(|e| e.hint.clone()),
    }
}
