//! `ffn data frames`

use std::path::{Path, PathBuf};

use crate::base::files::{sha256, write_atomic};
use crate::base::{Error, Kind, Result, Shown, terminal};
use crate::cli::options;
use crate::data::video::{Image, Source, Video, VideoError};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A video file, or a folder of numbered images.
    video: PathBuf,

    /// Indices of the frames, from 0, separated by commas; without them only the number of frames is printed.
    #[arg(long, value_name = "INDEX", value_delimiter = ',')]
    at: Vec<usize>,

    /// Write the frames into this folder as `<name>_<index>.png`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// How the images of a folder are named.
    #[arg(long, default_value = "img_{:05}.jpg")]
    template: String,

    /// Number of a folder's first image.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = options::start::<usize>)]
    first: usize,
}

/// Prints how many frames there are, and each asked one's size and the SHA-256 of its RGB bytes.
pub fn run(args: Args) -> Result<()> {
    let name = args.video.file_stem().unwrap_or_default().to_string_lossy();
    let explain = |error: VideoError| error.into_error(&name, &args.video);
    let source = match args.video.is_dir() {
        true => Source::folder(&args.video, &args.template, args.first).map_err(explain)?,
        false => Source::File(args.video.clone()),
    };
    let video = Video::open(&source).map_err(explain)?;
    let count = video.frame_count();
    terminal::line(format_args!(
        "{}: {count} frame{}",
        name.shown(),
        if count == 1 { "" } else { "s" }
    ))?;
    let images = video.frames(&args.at).map_err(explain)?;
    for (index, image) in args.at.iter().zip(images) {
        let (width, height) = (image.width, image.height);
        terminal::line(format_args!(
            "{index:5}  {width}x{height}  sha256 {}",
            sha256(&image.rgb)
        ))?;
        if let Some(folder) = &args.out {
            write_png(&folder.join(format!("{name}_{index:05}.png")), &image)?;
        }
    }
    Ok(())
}

fn write_png(path: &Path, image: &Image) -> Result<()> {
    let png = image.to_png().map_err(|error| {
        Error::new(
            Kind::Io,
            format!("cannot write `{}`: {error}", path.shown()),
        )
    })?;
    write_atomic(path, &png)
}
