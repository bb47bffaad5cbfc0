//! `ffn golden`

mod record;
mod verify;

use crate::base::Result;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Compute golden bundles and compare, group by group.
    ///
    /// Prints each group's relative L2 error, the error that the reference itself makes in float32, their ratio and the
    /// tolerance. Exits with 1 when a group exceeds its tolerance or a name is missing or left over, with 4 when a bundle
    /// cannot be read.
    Verify(verify::Args),
    /// Write a golden bundle from a model of one's own: a snapshot that later versions are held against.
    Record(record::Args),
}

pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Verify(args) => verify::run(args),
        Command::Record(args) => record::run(args),
    }
}
