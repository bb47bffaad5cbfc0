//! `ffn data`

mod frames;
mod pin;
mod show;
mod stats;
mod verify;

use std::path::PathBuf;

use crate::base::Result;
use crate::data::Dataset;
use crate::data::dataset::OpenOptions;
use crate::spec::{self, Loaded};
use crate::train::progress::Preparation;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Hash every video and write the pins that an experiment names.
    Pin(pin::Args),
    /// Hold every video's hash against the pins.
    Verify(verify::Args),
    /// Count clips by class, and tell their lengths and sizes.
    Stats(stats::Args),
    /// Write contact sheets of what each branch sees after sampling and augmentation.
    Show(show::Args),
    /// Decode frames of one video or frame folder: print their hashes, or write them as PNG.
    Frames(frames::Args),
}

pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Pin(args) => pin::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Stats(args) => stats::run(args),
        Command::Show(args) => show::run(args),
        Command::Frames(args) => frames::run(args),
    }
}

/// An experiment whose data are looked at.
#[derive(Debug, clap::Args)]
pub struct Selection {
    /// The experiment whose data are meant.
    pub experiment: PathBuf,

    /// Folder of the data set; else `FFN_DATA_<NAME>` or the configuration file says where it is.
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
}

/// An experiment and its data, which were found but not held against the pins.
pub struct Found {
    pub loaded: Loaded,
    pub dataset: Dataset,
    preparation: Preparation,
}

impl Selection {
    pub fn find(&self) -> Result<Found> {
        let loaded = spec::load(&self.experiment)?;
        let preparation = Preparation::new();
        let dataset = Dataset::find(
            &loaded.experiment,
            &OpenOptions {
                root: self.data_root.clone(),
                base: &loaded.base,
                unpinned: true,
                progress: &|what, done, total| preparation.tell(what, done, total),
            },
        )?;
        Ok(Found {
            loaded,
            dataset,
            preparation,
        })
    }
}

impl Found {
    fn pins(&self) -> PathBuf {
        self.loaded.base.join(self.loaded.experiment.data.pins())
    }

    fn tell(&self, what: &str, done: usize, total: usize) {
        self.preparation.tell(what, done, total);
    }
}
