//! `ffn data verify`

use super::Selection;
use crate::base::{Result, Shown, terminal};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    /// Read every video again, whatever is remembered of those that did not change.
    #[arg(long)]
    full: bool,
}

pub fn run(args: Args) -> Result<()> {
    let found = args.selection.find()?;
    let path = found.pins();
    let report = |what: &str, done, total| found.tell(what, done, total);
    let mut dataset = found.dataset.clone();
    dataset.verify(&path, args.full, &report)?;
    terminal::line(format_args!(
        "{} training and {} validation clips are those of the pins `{}`",
        dataset.train.len(),
        dataset.validation.len(),
        path.shown()
    ))?;
    Ok(())
}
