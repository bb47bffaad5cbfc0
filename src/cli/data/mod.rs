//! `ffn data`

mod frames;

use crate::base::Result;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Decode frames of one video or frame folder: print their hashes, or write them as PNG.
    Frames(frames::Args),
}

pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Frames(args) => frames::run(args),
    }
}
