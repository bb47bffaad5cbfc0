//! `ffn data compare`

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::base::{Error, Kind, Result, Shown, count, terminal};
use crate::cli::print_json;
use crate::data::certificate::{self, Certificate, Difference, How};
use crate::data::listing::counted;

/// Exit code 0 when all videos are the same, 1 when some differ.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A certificate that `ffn data certify` wrote.
    #[arg(value_name = "A")]
    a: PathBuf,

    /// Another one.
    #[arg(value_name = "B")]
    b: PathBuf,

    /// Print JSON: every video that differs, where a message shows the first ten of each sort.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    a: usize,
    b: usize,
    differences: Vec<Difference>,
}

pub fn run(args: Args) -> Result<()> {
    let (a, b) = (Certificate::read(&args.a)?, Certificate::read(&args.b)?);
    let differences = certificate::compare(&a, &b);
    let differing = differences.len();
    if args.json {
        print_json(&Report {
            a: a.videos.len(),
            b: b.videos.len(),
            differences,
        })?;
    } else {
        tell(&a, &b, &differences)?;
    }
    match differing {
        0 => Ok(()),
        _ => Err(Error::new(
            Kind::Different,
            format!("the copies differ in {}", count(differing, "video")),
        )),
    }
}

fn tell(a: &Certificate, b: &Certificate, differences: &[Difference]) -> Result<()> {
    for (name, side) in [("a", a), ("b", b)] {
        let about: Vec<String> = side.about.iter().map(|line| line.shown()).collect();
        terminal::line(format_args!("{name}: {}", about.join("; ")))?;
    }
    let alike = a
        .videos
        .keys()
        .filter(|id| b.videos.contains_key(*id))
        .count();
    let both = differences
        .iter()
        .filter(|d| d.a.is_some() && d.b.is_some())
        .count();
    terminal::line(format_args!(
        "{} are the same in both",
        count(alike - both, "video")
    ))?;
    let mut by_how: BTreeMap<How, Vec<String>> = BTreeMap::new();
    for difference in differences {
        by_how
            .entry(difference.how)
            .or_default()
            .push(line(difference));
    }
    for (how, lines) in by_how {
        if let Some(text) = counted(how.words(), &lines) {
            terminal::line(text)?;
        }
    }
    Ok(())
}

fn line(difference: &Difference) -> String {
    let id = difference.id.shown();
    match (&difference.a, &difference.b) {
        (Some(a), Some(b)) if a != b => format!("{id}  a: {}; b: {}", a.shown(), b.shown()),
        (Some(one), _) | (None, Some(one)) => format!("{id}  {}", one.shown()),
        (None, None) => id,
    }
}
