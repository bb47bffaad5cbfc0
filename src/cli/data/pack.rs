//! `ffn data pack`

use std::path::{Path, PathBuf};

use super::Selection;
use crate::base::{Error, Kind, Result, Shown, count, terminal};
use crate::cli::options;
use crate::data::pack::{self, Frames, Packing};
use crate::spec::{Data, VideoLists};
use crate::train::machine::thread_count;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    /// Folder for the pack, which is a data set's folder afterwards: for `--data-root`.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// In what frames are kept: raw and png lose nothing, and neither do the original images of frame folders.
    #[arg(long, value_enum, default_value_t = Format::Raw)]
    frames: Format,

    /// Of JPEG, from 1 to 100; 92 unless told.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: Option<u8>,

    /// Resize first, so that the shorter side has so many pixels.
    #[arg(long, value_name = "PIXELS", value_parser = options::side)]
    short_side: Option<usize>,

    /// Size of a tar file, about.
    #[arg(long, default_value_t = 256, value_name = "MIB", value_parser = options::count::<u64>)]
    shard_mib: u64,

    /// Threads that decode; 0: one for each core.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = options::start::<usize>)]
    workers: usize,
}

/// Of JPEG, unless told.
const QUALITY: u8 = 92;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Raw,
    Png,
    Jpeg,
    Original,
}

pub fn run(args: Args) -> Result<()> {
    let found = args.selection.find()?;
    let data = &found.loaded.experiment.data;
    if let Data::VideoList(list) = data
        && matches!(list.lists, VideoLists::Folders { .. })
    {
        let message = "a data set of folders has no lists, by which a pack is read";
        return Err(Error::new(Kind::Usage, message)
            .hint("write lists `path label` of it, with `lists: Text(…)`"));
    }
    if args.frames == Format::Original && !matches!(data, Data::FrameFolders(_)) {
        let message = "video files have no images of their own";
        return Err(Error::new(Kind::Usage, message).hint("--frames raw, png or jpeg"));
    }
    if args.quality.is_some() && args.frames != Format::Jpeg {
        let message = "nothing but JPEG has a quality";
        return Err(Error::new(Kind::Usage, message).hint("--frames jpeg"));
    }
    if args.frames == Format::Original && args.short_side.is_some() {
        return Err(Error::new(
            Kind::Usage,
            "original images have their own size",
        ));
    }
    let packing = Packing {
        frames: match args.frames {
            Format::Raw => Frames::Raw,
            Format::Png => Frames::Png,
            Format::Jpeg => Frames::Jpeg {
                quality: args.quality.unwrap_or(QUALITY),
            },
            Format::Original => Frames::Original,
        },
        short_side: args.short_side,
        shard_bytes: args.shard_mib.saturating_mul(1 << 20),
        workers: thread_count(args.workers),
    };
    let tell = |what: &str, done, total| found.tell(what, done, total);
    let written = pack::write(&found.dataset, packing, &args.out, &tell)?;
    terminal::line(format_args!(
        "{} in {} of `{}`, {} MiB",
        count(written.videos, "video"),
        count(written.shards, "tar file"),
        args.out.shown(),
        written.bytes >> 20
    ))?;
    tell_unreadable(&written.unreadable, &args.out)?;
    terminal::line(format_args!("use it with --data-root {}", args.out.shown()))
}

fn tell_unreadable(unreadable: &[(String, String)], out: &Path) -> Result<()> {
    /// Of many the list in the pack tells.
    const MOST: usize = 10;
    if unreadable.is_empty() {
        return Ok(());
    }
    terminal::line(format_args!(
        "{} could not be read, and cannot be read from the pack:",
        count(unreadable.len(), "video")
    ))?;
    for (id, reason) in unreadable.iter().take(MOST) {
        terminal::line(format_args!("  {}: {}", id.shown(), reason.shown()))?;
    }
    match unreadable.len() > MOST {
        true => terminal::line(format_args!(
            "  and {} more: `{}` has all",
            unreadable.len() - MOST,
            out.join(pack::VIDEOS).shown()
        )),
        false => Ok(()),
    }
}
