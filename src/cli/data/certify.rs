//! `ffn data certify`

use std::path::PathBuf;

use super::Selection;
use crate::base::{Result, Shown, files, terminal};
use crate::data::certificate::{Certificate, Entry};
use crate::run::provenance::Build;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    /// The certificate, `NAME.cert.gz`.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub fn run(args: Args) -> Result<()> {
    let found = args.selection.find()?;
    let data = &found.loaded.experiment.data;
    let about = vec![
        format!("data set {}", data.root_name()),
        format!(
            "{} training and {} validation videos",
            found.dataset.train.len(),
            found.dataset.validation.len()
        ),
        Build::this().describe(),
    ];
    let tell = |what: &str, done, total| found.tell(what, done, total);
    let certificate = Certificate::of(&found.dataset, about, &tell)?;
    let bytes = certificate.encode()?;
    files::write_atomic(&args.out, &bytes)?;
    let all = certificate.videos.values();
    let unreadable = all
        .filter(|entry| matches!(entry, Entry::Unreadable { .. }))
        .count();
    terminal::line(format_args!(
        "`{}` is the certificate of {} videos, {} of which cannot be read; {} bytes",
        args.out.shown(),
        certificate.videos.len(),
        unreadable,
        bytes.len()
    ))
}
