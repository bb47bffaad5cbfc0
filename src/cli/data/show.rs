//! `ffn data show`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use safetensors::tensor::{Dtype, TensorView};

use super::{Found, Selection};
use crate::base::{Error, Kind, Result, Shown, files, terminal};
use crate::cli::options;
use crate::data::clip::{self, TrainClip};
use crate::data::normalize::denormalized;
use crate::data::sampling::Draw;
use crate::data::sheet::{contact_sheet, images};
use crate::data::transform::exchange_channels;
use crate::data::{Pixels, Sample, Split, TrainBatch, TrainPlan};
use crate::spec::{Channels, Experiment, Normalize};

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

    /// The clips of this training step, from 0, instead: mixed as the network gets them, with their targets.
    #[arg(long, value_name = "N", value_parser = options::start::<u64>, conflicts_with_all = ["ids", "clips", "epoch", "split"])]
    step: Option<u64>,

    /// Write each clip's pixels too, as safetensors: `frames.T` of (views, T, height, width, 3), bytes or normalised values.
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
    /// Of the files.
    name: String,
    /// What was drawn for it, or what its target is.
    note: String,
    branches: Vec<Branch>,
    size: usize,
    normalize: Normalize,
    channels: Channels,
}

struct Branch {
    frames: usize,
    views: usize,
    /// `views × frames × size × size × 3`
    pixels: Pixels,
    /// What a person is told of it.
    note: String,
}

pub fn run(args: Args) -> Result<()> {
    let mut found = args.selection.find()?;
    found.dataset.keep(&found.loaded.experiment)?;
    let split = match args.split {
        Which::Train => Split::Train,
        Which::Validation => Split::Validation,
    };
    if let Some(number) = args.step {
        for shown in step(&found, number)? {
            terminal::line(format_args!(
                "{}  {}",
                shown.name.shown(),
                shown.note.shown()
            ))?;
            write(&args, &shown)?;
        }
        return Ok(());
    }
    for place in places(found.dataset.split(split), &args)? {
        let sample = &found.dataset.split(split)[place];
        let sheets = match split {
            Split::Train => train(&found, place, args.epoch)?,
            Split::Validation => vec![validation(&found, sample)?],
        };
        let class = found.dataset.classes.get(sample.label);
        terminal::line(format_args!(
            "{}  {}",
            sample.id.shown(),
            class.map(|name| name.shown()).unwrap_or_default()
        ))?;
        for shown in &sheets {
            tell(shown)?;
            write(&args, shown)?;
        }
    }
    Ok(())
}

fn tell(shown: &Sheet) -> Result<()> {
    if !shown.note.is_empty() {
        terminal::line(format_args!("  {}", shown.note))?;
    }
    for branch in &shown.branches {
        terminal::line(format_args!(
            "  {:3} frames  {}",
            branch.frames, branch.note
        ))?;
    }
    Ok(())
}

fn write(args: &Args, shown: &Sheet) -> Result<()> {
    write_sheet(&args.out.join(format!("{}.png", shown.name)), shown)?;
    match args.raw {
        true => write_raw(&args.out.join(format!("{}.safetensors", shown.name)), shown),
        false => Ok(()),
    }
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

fn train(found: &Found, place: usize, epoch: u64) -> Result<Vec<Sheet>> {
    let experiment = &found.loaded.experiment;
    let sample = &found.dataset.train[place];
    let draw = Draw {
        seed: experiment.seed,
        epoch,
        sample: place as u64,
    };
    let branches = experiment.method.frames();
    let clips = clip::train(&sample.source, &experiment.train, branches, draw)
        .map_err(|error| error.into_error(&sample.id, sample.source.path()))?;
    let several = clips.len() > 1;
    let sheets = clips.into_iter().enumerate().map(|(copy, clip)| {
        let name = match several {
            true => format!("{}.{copy}", sample.id),
            false => sample.id.clone(),
        };
        sheet_of_clip(name, experiment, clip)
    });
    Ok(sheets.collect())
}

fn sheet_of_clip(name: String, experiment: &Experiment, clip: TrainClip) -> Sheet {
    let branches = clip.pixels.into_iter().zip(&clip.indices);
    let branches = branches.map(|(pixels, indices)| Branch {
        frames: indices.len(),
        views: 1,
        pixels,
        note: format!("{indices:?}"),
    });
    let clips = &experiment.train.clips;
    Sheet {
        name,
        note: clip.augmentation.to_string(),
        branches: branches.collect(),
        size: clips.size,
        normalize: clips.normalize,
        channels: clips.channels,
    }
}

/// The clips of a training step as the network gets them, mixed, with their targets.
fn step(found: &Found, step: u64) -> Result<Vec<Sheet>> {
    let experiment = &found.loaded.experiment;
    let plan = TrainPlan::new(Arc::new(found.dataset.clone()), experiment);
    let shards = plan.step(step)?.into_iter().enumerate();
    let sheets = shards.flat_map(|(shard, clips)| {
        let batch = plan.gather((step, shard), clips);
        shard_sheets(found, batch)
    });
    Ok(sheets.collect())
}

/// Those of a shard.
fn shard_sheets(found: &Found, batch: TrainBatch) -> Vec<Sheet> {
    let experiment = &found.loaded.experiment;
    let (step, first) = (batch.step, batch.shard * experiment.train.shard_clips());
    let size = experiment.train.clips.size;
    let mut sheets: Vec<Sheet> = (batch.ids.iter().enumerate())
        .map(|(number, id)| Sheet {
            name: format!("step-{step}/{:03}-{}", first + number, id.replace('/', "_")),
            note: target(&found.dataset.classes, &batch, number),
            branches: Vec::new(),
            size,
            normalize: experiment.train.clips.normalize,
            channels: experiment.train.clips.channels,
        })
        .collect();
    let frames = experiment.method.frames();
    let all = Arc::unwrap_or_clone(batch.pixels).split(size * size * 3);
    let mut images = all.as_slice();
    for &frames in frames {
        for sheet in &mut sheets {
            let (of_clip, rest) = images.split_at(frames.min(images.len()));
            images = rest;
            sheet.branches.push(Branch {
                frames,
                views: 1,
                pixels: Pixels::concat(of_clip.iter()),
                note: String::new(),
            });
        }
    }
    sheets
}

/// The classes of which a clip is after mixing and smoothing, the most of it first.
fn target(classes: &[String], batch: &TrainBatch, clip: usize) -> String {
    /// Classes that are named.
    const MOST: usize = 2;
    let name = |class: usize| {
        classes
            .get(class)
            .map_or(String::new(), |name| name.shown().to_string())
    };
    let Some(targets) = &batch.targets else {
        return batch
            .labels
            .get(clip)
            .map_or(String::new(), |&label| name(label));
    };
    let row = targets
        .chunks(classes.len().max(1))
        .nth(clip)
        .unwrap_or(&[]);
    // Class weights are in it: a clip may weigh more or less than one.
    let weight: f32 = row.iter().sum();
    let share = |target: f32| if weight > 0.0 { target / weight } else { 0.0 };
    let mut shares: Vec<(usize, f32)> = row
        .iter()
        .map(|target| share(*target))
        .enumerate()
        .collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    let least = shares.last().map_or(0.0, |last| last.1);
    let named = shares.iter().take(MOST).filter(|(_, share)| *share > least);
    let named: Vec<String> = named
        .map(|(class, share)| format!("{share:.3} {}", name(*class)))
        .collect();
    let weighs = match (weight - 1.0).abs() > 1e-4 {
        true => format!(", weighs {weight:.3}"),
        false => String::new(),
    };
    match least > 0.0 {
        true => format!(
            "{}, {least:.4} of each other class{weighs}",
            named.join(", ")
        ),
        false => format!("{}{weighs}", named.join(", ")),
    }
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
        name: sample.id.clone(),
        note: String::new(),
        branches: all.into_iter().zip(&eval.frames).map(branch).collect(),
        size: clip::evaluation_size(eval),
        normalize: eval.normalize,
        channels: eval.channels(),
    })
}

/// One row for each view of each branch, in the colours of the video whatever the network's order.
fn write_sheet(path: &std::path::Path, shown: &Sheet) -> Result<()> {
    let mut rows = Vec::new();
    for branch in &shown.branches {
        let mut bytes = match &branch.pixels {
            Pixels::Bytes(bytes) => bytes.clone(),
            Pixels::Values(values) => denormalized(values, &shown.normalize),
        };
        if shown.channels == Channels::Bgr {
            exchange_channels(&mut bytes);
        }
        let all = images(&bytes, shown.size);
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
    let stored: Vec<(Dtype, Vec<u8>)> = (shown.branches.iter())
        .map(|branch| match &branch.pixels {
            Pixels::Bytes(bytes) => (Dtype::U8, bytes.clone()),
            Pixels::Values(values) => {
                let bytes = values.iter().flat_map(|value| value.to_le_bytes());
                (Dtype::F32, bytes.collect())
            }
        })
        .collect();
    let mut tensors = BTreeMap::new();
    for (branch, (dtype, bytes)) in shown.branches.iter().zip(&stored) {
        let shape = vec![branch.views, branch.frames, shown.size, shown.size, 3];
        let view = TensorView::new(*dtype, shape, bytes).map_err(unwritable)?;
        tensors.insert(format!("frames.{}", branch.frames), view);
    }
    let bytes = safetensors::serialize(tensors, None).map_err(unwritable)?;
    files::write_atomic(path, &bytes)
}
