//! `ffn data verify`

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Found, Seen, Selection, tell_unfetched};
use crate::base::{Error, Kind, Result, Shown, files, terminal};
use crate::cli::print_json;
use crate::data::listing::Fault;
use crate::data::look::Surplus;
use crate::data::pins::{self, Difference};
use crate::data::{Dataset, Split};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    /// Read every video again, whatever is remembered of those that did not change. Of a pack on an object store: fetch every tar
    /// file.
    #[arg(long)]
    full: bool,

    /// Write the videos that the lists have and this machine does not to FILE, one a line, for `missing: Listed("FILE")`; nothing
    /// else is verified.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["full", "json"])]
    write_missing: Option<PathBuf>,

    /// Print JSON: all that is wrong, where a message shows the first ten of each sort.
    #[arg(long)]
    json: bool,
}

/// All that is wrong with a data set. What could not be looked at, because something before it is wrong, is empty.
#[derive(Debug, Default, Serialize)]
struct Report {
    train: usize,
    validation: usize,
    /// What is wrong with the lists.
    problems: Vec<String>,
    missing: Vec<Fault>,
    /// Videos that cannot be used.
    damaged: Vec<Fault>,
    /// Damaged videos that training leaves out, as the experiment declares.
    left_out: Vec<Fault>,
    /// Frame folders with more images than their lists say.
    surplus: Vec<Surplus>,
    /// What differs from the pins.
    differences: Vec<Difference>,
}

pub fn run(args: Args) -> Result<()> {
    if let Some(file) = &args.write_missing {
        return write_missing(&args, file);
    }
    if args.json {
        return run_json(&args);
    }
    let found = args.selection.find()?;
    let path = found.pins();
    let report = |what: &str, done, total| found.tell(what, done, total);
    let seen = found.look();
    seen.tell()?;
    let mut dataset = found.dataset.clone();
    let compared = dataset.verify(&path, args.full, &report);
    both(seen.check(), compared)?;
    if !args.full {
        tell_unfetched(&dataset)?;
    }
    if let Some(lost) = &dataset.lost {
        terminal::line(format_args!(
            "the pack is not the videos themselves: {lost}"
        ))?;
    }
    terminal::line(format_args!(
        "{} training and {} validation clips are those of the pins `{}`",
        dataset.train.len(),
        dataset.validation.len(),
        path.shown()
    ))
}

fn write_missing(args: &Args, file: &Path) -> Result<()> {
    let listing = args.selection.list_all()?.content.listing;
    let mut ids: Vec<&str> = listing
        .missing
        .iter()
        .map(|fault| fault.id.as_str())
        .collect();
    ids.sort_unstable();
    for (split, samples) in [
        (Split::Train, &listing.train),
        (Split::Validation, &listing.validation),
    ] {
        let missing = listing.missing.iter().filter(|fault| fault.split == split);
        let missing: Vec<_> = missing.collect();
        if !samples.is_empty() && missing.len() == samples.len() {
            let example = missing.first().map(|fault| fault.describe());
            let message = format!(
                "none of the {} videos of a split is there\n  {}",
                samples.len(),
                example.unwrap_or_default()
            );
            return Err(Error::new(Kind::Data, message).hint(
                "that is another folder, or they have other names: --data-root, and `place` of Kinetics' lists, say which",
            ));
        }
    }
    let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
    files::write_atomic(file, text.as_bytes())?;
    let all = listing.train.len() + listing.validation.len();
    terminal::line(format_args!(
        "{} of {all} videos are missing; `{}` names them",
        ids.len(),
        file.shown()
    ))
}

/// Both errors as one.
fn both(one: Result<()>, other: Result<()>) -> Result<()> {
    match (one, other) {
        (Err(one), Err(other)) => Err(Error {
            message: format!("{}\n{}", one.message, other.message),
            ..one
        }),
        (one, other) => one.and(other),
    }
}

fn run_json(args: &Args) -> Result<()> {
    let mut listed = args.selection.list()?;
    let listing = &mut listed.content.listing;
    let mut report = Report {
        train: listing.train.len(),
        validation: listing.validation.len(),
        problems: listing.problems(listed.content.expected),
        missing: std::mem::take(&mut listing.missing),
        ..Report::default()
    };
    let compared = match report.problems.is_empty() && report.missing.is_empty() {
        true => compare(args, listed.found()?, &mut report),
        false => Ok(()),
    };
    print_json(&report)?;
    compared?;
    let wrong = [
        report.problems.len(),
        report.missing.len(),
        report.damaged.len(),
        report.differences.len(),
    ];
    match wrong.iter().sum() {
        0 => Ok(()),
        sum => {
            let message =
                format!("{sum} things are wrong with the data; the report on stdout lists each");
            Err(Error::new(Kind::Data, message))
        }
    }
}

/// Looks at the videos and holds their hashes against the pins.
fn compare(args: &Args, found: Found, report: &mut Report) -> Result<()> {
    let Seen {
        damaged,
        left_out,
        surplus,
    } = found.look();
    (report.damaged, report.left_out, report.surplus) = (damaged, left_out, surplus);
    let tell = |what: &str, done, total| found.tell(what, done, total);
    let path = found.pins();
    let (pinned, _) = pins::of_data(&path)?;
    let dataset: &Dataset = &found.dataset;
    let computed = pins::compute(dataset, args.full, &tell)?;
    report.differences = pins::differences(&path, &pinned, &computed)?;
    Ok(())
}
