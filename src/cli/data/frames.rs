//! `ffn data frames`

use std::path::PathBuf;

use crate::base::Result;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A video file, or a folder of numbered pictures.
    video: PathBuf,

    /// Indices of the frames, from 0; without them every frame.
    #[arg(long, value_name = "INDEX", value_delimiter = ',')]
    at: Vec<usize>,

    /// Write the frames into this folder as `<name>_<index>.png`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub fn run(_args: Args) -> Result<()> {
    todo!()
}
