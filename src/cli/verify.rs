//! `ffn verify`

use std::path::PathBuf;

use crate::base::{Error, Kind, Result};
use crate::run::Folder;
use crate::run::verify::{Report, verify};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run folder.
    #[arg(value_name = "RUN")]
    run: PathBuf,
}

pub fn run(args: Args) -> Result<()> {
    let folder = Folder::at(&args.run);
    let report = verify(&folder)?;
    for name in &report.unlisted {
        println!("unlisted: `{name}` belongs to no result of this run");
    }
    if report.problems.is_empty() {
        println!(
            "{}: {} checks, all as written",
            folder.name(),
            report.checked
        );
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
    Error::new(
        Kind::Mismatch,
        format!(
            "{} of {} checks failed{}",
            report.problems.len(),
            report.checked,
            problems.concat()
        ),
    )
}
