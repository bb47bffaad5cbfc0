//! `ffn data certify`

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Selection;
use crate::base::{Error, Kind, Result, Shown, files, terminal};
use crate::cli::options;
use crate::data::certificate::{Certificate, Entry, Listed};
use crate::data::listing::{Expected, Fault};
use crate::run::provenance::Build;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    /// The certificate, `NAME.cert.gz`.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Replace the file if there is one.
    #[arg(long)]
    force: bool,
}

pub fn run(args: Args) -> Result<()> {
    options::check_output(&args.out, args.force)?;
    let mut lists = args.selection.list()?;
    // Of a copy that is not whole what is there is certified.
    let missing = std::mem::take(&mut lists.content.listing.missing);
    let any_counts = Expected {
        train: None,
        validation: None,
        ..lists.content.expected
    };
    lists.content.listing.check(any_counts)?;
    let example = missing.first().map(Fault::describe);
    let gone: BTreeSet<String> = missing.into_iter().map(|fault| fault.id).collect();
    let listing = &mut lists.content.listing;
    for samples in [&mut listing.train, &mut listing.validation] {
        samples.retain(|sample| !gone.contains(&sample.id));
    }
    if let (true, Some(example)) = (
        listing.train.is_empty() && listing.validation.is_empty(),
        example,
    ) {
        let message = format!("none of the {} videos is there\n  {example}", gone.len());
        return Err(Error::new(Kind::Data, message).hint("--data-root says which folder is meant"));
    }
    let found = lists.found()?;
    if let Some(lost) = &found.dataset.lost {
        let message = format!("a certificate is of videos, and these are a pack of {lost}");
        return Err(Error::new(Kind::Usage, message).hint("--data-root leads to the videos"));
    }
    let data = &found.loaded.experiment.data;
    let about = vec![
        format!("data set {}", data.root_name()),
        format!(
            "{} training and {} validation videos, {} more missing",
            found.dataset.train.len(),
            found.dataset.validation.len(),
            gone.len()
        ),
        Build::this().describe(),
    ];
    let tell = |what: &str, done, total| found.tell(what, done, total);
    let certificate = Certificate::of(&found.dataset, about, &tell)?;
    let bytes = certificate.encode()?;
    files::write_atomic(&args.out, &bytes)?;
    let all = certificate.videos.values();
    let unreadable = |listed: &&Listed| matches!(listed.entry, Entry::Unreadable { .. });
    let unreadable = all.filter(unreadable).count();
    terminal::line(format_args!(
        "`{}` is the certificate of {} videos, {} of which cannot be read; {} bytes",
        args.out.shown(),
        certificate.videos.len(),
        unreadable,
        bytes.len()
    ))
}
