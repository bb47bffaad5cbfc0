//! `ffn data pin`

use std::path::Path;

use super::{Found, Selection, tell_unfetched};
use crate::base::{Error, Kind, Result, Shown, terminal};
use crate::data::pins::{self, Computed, Difference, Pins};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    /// Replace pins that are there and differ.
    #[arg(long)]
    update: bool,
}

/// Writes the pins of the data on this machine. Pins that are there are only replaced with `--update`.
pub fn run(args: Args) -> Result<()> {
    let all = args.selection.find_each()?;
    all.iter().try_for_each(|found| pin(found, args.update))
}

fn pin(found: &Found, update: bool) -> Result<()> {
    let path = found.pins();
    let report = |what: &str, done, total| found.tell(what, done, total);
    let seen = found.look();
    seen.tell()?;
    seen.check()?;
    let computed = pins::compute(&found.dataset, false, &report)?;
    tell_unfetched(&found.dataset)?;
    if pins::is_there(&path) {
        let (pinned, _) = pins::read(&path)?;
        let differences = pins::differences(&path, &pinned, &computed)?;
        match (differences.is_empty(), update) {
            (true, _) => {
                terminal::line(format_args!(
                    "the pins `{}` are those of the data",
                    path.shown()
                ))?;
                // Where the hashes were not kept in git, they are made again.
                return pins::write(&path, &computed);
            }
            (false, false) => return Err(refuse(&path, &differences)),
            (false, true) => {
                terminal::line(format_args!("{}\n", pins::describe(&path, &differences)))?
            }
        }
    }
    pins::write(&path, &computed)?;
    print(&path, &computed)
}

fn refuse(path: &Path, differences: &[Difference]) -> Error {
    Error::new(
        Kind::Data,
        format!(
            "there are pins of other data, `{}`\n{}",
            path.shown(),
            pins::describe(path, differences)
        ),
    )
    .hint(
        "`--update` replaces them; the experiments that use them are then held against other data",
    )
}

fn print(path: &Path, computed: &Computed) -> Result<()> {
    let Pins {
        train, validation, ..
    } = &computed.pins;
    terminal::line(format_args!(
        "{} training clips, root {}",
        train.count, train.root
    ))?;
    terminal::line(format_args!(
        "{} validation clips, root {}",
        validation.count, validation.root
    ))?;
    terminal::line(format_args!("written: {}", path.shown()))?;
    terminal::line(format_args!("written: {}", pins::sidecar(path).shown()))
}
