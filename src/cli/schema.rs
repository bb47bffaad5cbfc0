//! `ffn schema`

use crate::base::{Result, terminal};
use crate::spec;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which kind of file.
    #[arg(value_enum, default_value_t)]
    of: File,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum File {
    #[default]
    Experiment,
    Suite,
}

pub fn run(args: Args) -> Result<()> {
    let schema = match args.of {
        File::Experiment => spec::schema(),
        File::Suite => spec::suite_schema(),
    };
    terminal::print(schema)
}
