//! `ffn data show`

use std::collections::BTreeMap;
use std::path::PathBuf;

use safetensors::tensor::{Dtype, TensorView};

use super::{Found, Selection};
use crate::base::{Error, Kind, Result, Shown, files, terminal};
use crate::cli::options;
use crate::data::clip;
use crate::data::sampling::Draw;
use crate::data::sheet::{contact_sheet, images};
use crate::data::{Sample, Split};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    /// Training clips as they are drawn, or validation clips with their views.
    #[arg(long, value_enum, default_value_t = Which::Train)]
    split: Which,

    /// Clips by id; without it some from all over the split.
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    ids: Vec<String>,

    /// How many clips, where no ids are given.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = options::count::<usize>)]
    clips: usize,

    /// The epoch whose draws are shown, from 0.
    #[arg(long, default_value_t = 0, value_parser = options::start::<u64>)]
    epoch: u64,

    /// Write each clip's bytes too, as safetensors: `frames.T` of (views, T, height, width, 3).
    #[arg(long)]
    raw: bool,

    /// Folder for `<id>.png`; an id with folders in it has them here too.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    Train,
    Validation,
}

/// What the network is given of one clip.
struct Sheet {
    size: usize,
    branches: Vec<Branch>,
}

struct Branch {
    frames: usize,
    views: usize,
    /// `views × frames × size × size × 3`
    pixels: Vec<u8>,
    /// What a person is told of it.
    note: String,
}

pub fn run(args: Args) -> Result<()> {
    let found = args.selection.find()?;
    let split = match args.split {
        Which::Train => Split::Train,
        Which::Validation => Split::Validation,
    };
    for place in places(found.dataset.split(split), &args)? {
        let sample = &found.dataset.split(split)[place];
        let shown = match split {
            Split::Train => train(&found, place, args.epoch),
            Split::Validation => validation(&found, sample),
        }?;
        let class = found.dataset.classes.get(sample.label);
        terminal::line(format_args!(
            "{}  {}",
            sample.id.shown(),
            class.map(|name| name.shown()).unwrap_or_default()
        ))?;
        for branch in &shown.branches {
            terminal::line(format_args!(
                "  {:3} frames  {}",
                branch.frames, branch.note
            ))?;
        }
        write_sheet(&args.out.join(format!("{}.png", sample.id)), &shown)?;
        if args.raw {
            write_raw(&args.out.join(format!("{}.safetensors", sample.id)), &shown)?;
        }
    }
    Ok(())
}

/// Positions of the clips that are shown.
fn places(samples: &[Sample], args: &Args) -> Result<Vec<usize>> {
    if args.ids.is_empty() {
        let count = args.clips.min(samples.len());
        return Ok((0..count).map(|i| i * samples.len() / count).collect());
    }
    let place = |id: &String| {
        let place = samples.iter().position(|sample| sample.id == *id);
        place.ok_or_else(|| {
            Error::new(
                Kind::Usage,
                format!("the split has no clip `{}`", id.shown()),
            )
            .hint("`--split` chooses between train and validation")
        })
    };
    args.ids.iter().map(place).collect()
}

fn train(found: &Found, place: usize, epoch: u64) -> Result<Sheet> {
    let experiment = &found.loaded.experiment;
    let sample = &found.dataset.train[place];
    let draw = Draw {
        seed: experiment.seed,
        epoch,
        sample: place as u64,
    };
    let branches = experiment.method.frames();
    let clip = clip::train(&sample.source, &experiment.train.clips, branches, draw)
        .map_err(|error| error.into_error(&sample.id, sample.source.path()))?;
    let flipped = if clip.augmentation.flip {
        ", flipped"
    } else {
        ""
    };
    let branches = clip
        .pixels
        .into_iter()
        .zip(&clip.indices)
        .map(|(pixels, indices)| Branch {
            frames: indices.len(),
            views: 1,
            pixels,
            note: format!("{indices:?}{flipped}"),
        })
        .collect();
    Ok(Sheet {
        size: experiment.train.clips.size,
        branches,
    })
}

fn validation(found: &Found, sample: &Sample) -> Result<Sheet> {
    let eval = &found.loaded.experiment.eval;
    let all = clip::evaluate(&sample.source, eval, &eval.frames)
        .map_err(|error| error.into_error(&sample.id, sample.source.path()))?;
    let views = clip::evaluation_views(eval);
    let branch = |(pixels, &frames)| Branch {
        frames,
        views,
        pixels,
        note: format!("views: {views}"),
    };
    Ok(Sheet {
        size: clip::evaluation_size(eval),
        branches: all.into_iter().zip(&eval.frames).map(branch).collect(),
    })
}

/// One row for each view of each branch.
fn write_sheet(path: &std::path::Path, shown: &Sheet) -> Result<()> {
    let mut rows = Vec::new();
    for branch in &shown.branches {
        let all = images(&branch.pixels, shown.size);
        rows.extend(all.chunks(branch.frames.max(1)).map(<[_]>::to_vec));
    }
    let png = contact_sheet(&rows).to_png().map_err(|error| {
        Error::new(
            Kind::Io,
            format!("cannot write `{}`: {error}", path.shown()),
        )
    })?;
    files::write_atomic(path, &png)
}

fn write_raw(path: &std::path::Path, shown: &Sheet) -> Result<()> {
    let unwritable = |error: safetensors::SafeTensorError| {
        Error::new(
            Kind::Io,
            format!("cannot write `{}`: {error}", path.shown()),
        )
    };
    let mut tensors = BTreeMap::new();
    for branch in &shown.branches {
        let shape = vec![branch.views, branch.frames, shown.size, shown.size, 3];
        let view = TensorView::new(Dtype::U8, shape, &branch.pixels).map_err(unwritable)?;
        tensors.insert(format!("frames.{}", branch.frames), view);
    }
    let bytes = safetensors::serialize(tensors, None).map_err(unwritable)?;
    files::write_atomic(path, &bytes)
}
