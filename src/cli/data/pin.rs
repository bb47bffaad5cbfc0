//! `ffn data pin`

use std::path::Path;

use super::Selection;
use crate::base::{Error, Kind, Result};
use crate::data::pins::{self, Computed, Pins};

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
    let found = args.selection.find()?;
    let path = found.pins();
    let report = |what: &str, done, total| found.tell(what, done, total);
    let computed = pins::compute(&found.dataset, false, &report)?;
    if path.exists() {
        let (pinned, _) = pins::read(&path)?;
        let differences = pins::differences(&path, &pinned, &computed)?;
        match (differences.is_empty(), args.update) {
            (true, _) => {
                println!("the pins `{}` are those of the data", path.display());
                // Where the hashes were not kept in git, they are made again.
                return pins::write(&path, &computed);
            }
            (false, false) => return Err(refuse(&path, &differences)),
            (false, true) => println!("{}\n", differences.join("\n")),
        }
    }
    pins::write(&path, &computed)?;
    print(&path, &computed);
    Ok(())
}

fn refuse(path: &Path, differences: &[String]) -> Error {
    Error::new(
        Kind::Data,
        format!(
            "there are pins of other data, `{}`\n{}",
            path.display(),
            differences.join("\n")
        ),
    )
    .hint(
        "`--update` replaces them; the experiments that use them are then held against other data",
    )
}

fn print(path: &Path, computed: &Computed) {
    let Pins {
        train, validation, ..
    } = &computed.pins;
    println!("{} training clips, root {}", train.count, train.root);
    println!(
        "{} validation clips, root {}",
        validation.count, validation.root
    );
    println!("written: {}", path.display());
    println!("written: {}", pins::sidecar(path).display());
}
