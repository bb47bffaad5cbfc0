//! Rules of training: clips, optimizer, schedule.

use super::Findings;
use crate::spec::experiment::*;

pub fn verify(experiment: &Experiment, findings: &mut Findings) {
    let train = &experiment.train;
    shards(train, findings);
    groups(train, findings);
    repeats(train, findings);
    evaluations(experiment, findings);
    averaged(experiment, findings);
    unread(experiment, findings);
    multipliers(train, findings);
    clips(&train.clips, experiment.method.frames(), findings);
    schedule(&experiment.schedule, train.epochs, findings);
    if let Optimizer::Sgd(Sgd { lr, .. }) = experiment.optimizer {
        rate_of_batch(lr, train.batch, findings);
    }
}

/// Advice where the batch is not the recipe's and the rate still is: the commonest reason why a number is not reproduced
/// (issues 96 and 134 of the official TSM). With k times the clips k times the rate (Goyal et al. 2017, linear scaling).
fn rate_of_batch(lr: f64, batch: usize, findings: &mut Findings) {
    /// The defaults of `train.batch` and `optimizer.lr`, which belong together.
    const RECIPE: (usize, f64) = (32, 0.01);
    if batch == RECIPE.0 || lr != RECIPE.1 {
        return;
    }
    let scaled = lr * batch as f64 / RECIPE.0 as f64;
    findings
        .warning(format!(
            "the learning rate {lr} belongs to batches of {} clips",
            RECIPE.0
        ))
        .at("train.batch", format!("{batch} clips"))
        .at("optimizer.lr", "as for the recipe's batch")
        .hint(format!(
            "linear scaling would give `lr: {scaled}`; nothing is changed by itself"
        ));
}

/// A step's videos are shared out among its shards; batch statistics and mixed clips stay within one.
fn shards(train: &Train, findings: &mut Findings) {
    let Train { batch, shards, .. } = *train;
    let videos = batch / train.clips.repeats.max(1);
    if shards > 0 && !videos.is_multiple_of(shards) {
        findings
            .mistake(format!(
                "{videos} videos cannot be shared out in {shards} shards"
            ))
            .at("train.shards", format!("does not divide {videos}"))
            .at("train.batch", format!("{batch} clips in a step"));
        return;
    }
    let clips = train.shard_clips();
    if shards > 1 && train.norm_clips.is_none() && train.frozen_norms != FrozenNorms::All {
        findings
            .mistake("batch statistics of the whole batch need it in one pass")
            .at("train.norm_clips", "all clips of the step")
            .at("train.shards", format!("{shards} passes of {clips} clips"))
            .hint(format!("`norm_clips: {clips}` takes those of a shard"));
    }
    if shards > 1 && train.mixing.is_some_and(|mixing| mixing.group.is_none()) {
        findings
            .mistake("clips of the whole batch are mixed with one another")
            .at("train.mixing.group", "all clips of the step")
            .at("train.shards", format!("{shards} passes of {clips} clips"))
            .hint(format!("`group: {clips}` mixes those of a shard"));
    }
    let several = train.norm_clips.filter(|&group| group < clips);
    if let (RunningStatistics::MeanOfShards, Some(group)) = (train.running_statistics, several) {
        findings
            .mistake("a shard has several norm groups")
            .at("train.running_statistics", "takes one of each shard")
            .at("train.norm_clips", format!("{group} clips in a group"))
            .at("train.shards", format!("{clips} clips in a shard"))
            .hint(format!(
                "`shards: {}` has one in each",
                batch / group.max(1)
            ));
    }
}

/// Norms and mixing share the clips of a pass out in groups.
fn groups(train: &Train, findings: &mut Findings) {
    let (batch, whole, pass) = match train.shards {
        1 => (train.batch, "train.batch", "step"),
        _ => (train.shard_clips(), "train.shards", "shard"),
    };
    let mixed = train.mixing.and_then(|mixing| mixing.group);
    for (path, group) in [
        ("train.norm_clips", train.norm_clips),
        ("train.mixing.group", mixed),
    ] {
        let cut = |clips: &usize| *clips > 0 && !batch.is_multiple_of(*clips);
        if let Some(clips) = group.filter(cut) {
            findings
                .mistake(format!(
                    "{batch} clips cannot be shared out in groups of {clips}"
                ))
                .at(path, format!("does not divide {batch}"))
                .at(whole, format!("{batch} clips in a {pass}"));
        }
    }
    if mixed == Some(1) || (train.mixing.is_some() && batch == 1) {
        findings
            .warning("a clip alone is mixed with itself")
            .at(
                "train.mixing",
                "the partner is the clip at the other end of its group",
            )
            .at("train.batch", format!("{batch} clips in a step"));
    }
}

/// What is kept and when training stops is decided by evaluations between epochs.
fn evaluations(experiment: &Experiment, findings: &mut Findings) {
    let Experiment { train, eval, .. } = experiment;
    let kept = match train.keep {
        Keep::Best { frames } => Some(("train.keep.frames", frames)),
        Keep::Last => None,
    };
    let watched = train.stop.map(|stop| ("train.stop.frames", stop.frames));
    for (path, frames) in kept.into_iter().chain(watched) {
        if !eval.frames.contains(&frames) {
            findings
                .mistake(format!("the network is not evaluated at {frames} frames"))
                .at(path, "whose top-1 decides")
                .at("eval.frames", "no such frame count");
        }
        if eval.every == 0 || eval.every >= train.epochs {
            findings
                .mistake("between epochs nothing is evaluated")
                .at(path, "whose top-1 decides")
                .at("eval.every", format!("{}: at the end alone", eval.every))
                .at("train.epochs", format!("{} epochs", train.epochs))
                .hint("`every: 1` evaluates after each epoch");
        }
    }
    let never = |stop: &EarlyStopping| stop.patience.saturating_mul(eval.every) >= train.epochs;
    if let Some(stop) = train.stop.filter(never) {
        findings
            .warning("training ends before it could be stopped")
            .at(
                "train.stop.patience",
                format!("{} evaluations", stop.patience),
            )
            .at("eval.every", format!("one in {} epochs", eval.every))
            .at("train.epochs", format!("{} epochs", train.epochs));
    }
}

/// Averaged weights that are the initial ones still, for the most part.
fn averaged(experiment: &Experiment, findings: &mut Findings) {
    let train = &experiment.train;
    let videos = experiment.data.train_count();
    let (Some(ema), Some(videos)) = (train.ema, videos) else {
        return;
    };
    let videos = train.videos(videos, experiment.data.class_count());
    let steps = train.clips.clips(videos) / train.batch.max(1) * train.epochs;
    let left = ema.decay.powf(steps as f64);
    if left > 0.1 {
        findings
            .warning(format!(
                "after {steps} steps {:.0} % of the averaged weights are the initial ones",
                100.0 * left
            ))
            .at(
                "train.ema.decay",
                format!("{} to the power of {steps}", ema.decay),
            )
            .hint("a smaller decay forgets sooner");
    }
}

/// A rule that nothing reads, and channels whose mean is another's.
fn unread(experiment: &Experiment, findings: &mut Findings) {
    let clips = &experiment.train.clips;
    let takes_all = |sampling: TrainSampling| match sampling {
        TrainSampling::SegmentRandom | TrainSampling::SegmentCentre => false,
        TrainSampling::SegmentInclusive
        | TrainSampling::Dense { .. }
        | TrainSampling::DenseAtRate { .. } => true,
    };
    if clips.short_videos == ShortVideos::FirstFrame && takes_all(clips.sampling) {
        findings
            .warning("no rule for short videos is read")
            .at("train.clips.short_videos", "has no effect")
            .at(
                "train.clips.sampling",
                "takes frames of a short video as of any other",
            );
    }
    let Normalize { mean, std } = clips.normalize;
    let differ = |values: [f64; 3]| values[0] != values[2];
    if clips.channels == Channels::Bgr && (differ(mean) || differ(std)) {
        findings
            .warning(
                "the mean and standard deviation are those of blue, green and red, in this order",
            )
            .at(
                "train.clips.normalize",
                "for the channels as the network sees them",
            )
            .at("train.clips.channels", "blue, green, red");
    }
}

/// Of learning rates and of classes.
fn multipliers(train: &Train, findings: &mut Findings) {
    let weights = match &train.class_weights {
        ClassWeights::Listed(weights) => weights.as_slice(),
        ClassWeights::Equal | ClassWeights::Balanced => &[],
    };
    for (path, all) in [
        ("train.rates", train.rates.as_slice()),
        ("train.class_weights", weights),
    ] {
        let mut seen = std::collections::BTreeSet::new();
        for (i, (name, factor)) in all.iter().enumerate() {
            let at = format!("{path}[{i}]");
            if !(0.0..=1000.0).contains(factor) {
                findings
                    .mistake(format!("a multiplier must be in [0, 1000], found {factor}"))
                    .at(at, "outside [0, 1000]");
            } else if !seen.insert(name) {
                findings
                    .mistake(format!("`{name}` comes twice"))
                    .at(at, "once is enough");
            }
        }
    }
}

/// All clips of a video are in one step.
fn repeats(train: &Train, findings: &mut Findings) {
    let (batch, repeats) = (train.batch, train.clips.repeats);
    if repeats > 0 && !batch.is_multiple_of(repeats) {
        findings
            .mistake(format!(
                "{batch} clips are no whole number of videos with {repeats} clips each"
            ))
            .at("train.clips.repeats", format!("does not divide {batch}"))
            .at("train.batch", format!("{batch} clips in a step"));
    }
}

fn clips(clips: &TrainClips, frames: &[usize], findings: &mut Findings) {
    if let Some(erasing) = &clips.erasing {
        range("train.clips.erasing.area", erasing.area, findings);
        range("train.clips.erasing.aspect", erasing.aspect, findings);
    }
    if let TrainSampling::Dense { window } = clips.sampling {
        let most = frames.iter().copied().max().unwrap_or(0);
        let frames = ("method.frames", most);
        dense("train.clips.sampling.window", window, frames, findings);
    }
    match &clips.crop {
        TrainCrop::MultiScale { scales, .. } if scales.is_empty() => {
            findings
                .mistake("a multi-scale crop needs a scale")
                .at("train.clips.crop.scales", "no scale")
                .hint("the official ones: [1, 0.875, 0.75, 0.66]");
        }
        TrainCrop::MultiScale { .. } => {}
        TrainCrop::ScaleJitter { short_side, .. } => {
            let path = "train.clips.crop.short_side";
            range(path, *short_side, findings);
            let least = ("train.clips.crop.short_side[0]", short_side[0]);
            crop_fits(least, ("train.clips.size", clips.size), findings);
        }
        TrainCrop::RandomResized { area, aspect } => {
            range("train.clips.crop.area", *area, findings);
            range("train.clips.crop.aspect", *aspect, findings);
        }
        TrainCrop::Centre { short_side } => {
            let short_side = ("train.clips.crop.short_side", *short_side);
            crop_fits(short_side, ("train.clips.size", clips.size), findings);
        }
    }
}

/// The least and the most of something drawn; they may be one.
fn range<T: PartialOrd + std::fmt::Display>(
    path: &str,
    [least, most]: [T; 2],
    findings: &mut Findings,
) {
    if most < least {
        findings
            .mistake(format!("nothing lies from {least} to {most}"))
            .at(path, "the least and then the most");
    }
}

/// A window of a dense clip holds at least as many frames as are taken from it.
pub fn dense(path: &str, window: usize, frames: (&str, usize), findings: &mut Findings) {
    let (frames_path, most) = frames;
    if window < most {
        findings
            .mistake(format!(
                "a window of {window} frames cannot give {most} different ones"
            ))
            .at(path, format!("smaller than {most}"))
            .at(frames_path, format!("up to {most} frames"));
    }
}

/// A crop is at most as large as the resized image.
pub fn crop_fits(short_side: (&str, usize), size: (&str, usize), findings: &mut Findings) {
    if size.1 > short_side.1 {
        findings
            .mistake(format!(
                "a crop of {} pixels does not fit a side of {}",
                size.1, short_side.1
            ))
            .at(
                short_side.0,
                format!("the shorter side has {} pixels", short_side.1),
            )
            .at(size.0, format!("the crop has {} pixels", size.1));
    }
}

fn schedule(schedule: &Schedule, epochs: usize, findings: &mut Findings) {
    match &schedule.shape {
        ScheduleShape::MultiStep { milestones, .. } => {
            findings.ascending("schedule.shape.milestones", milestones);
            for (i, &milestone) in milestones.iter().enumerate() {
                let path = format!("schedule.shape.milestones[{i}]");
                inside_training(&path, milestone, epochs, findings);
                whole_epoch(&path, milestone, schedule.step, findings);
            }
        }
        ScheduleShape::Cosine { .. } => {}
    }
    if let Some(warmup) = &schedule.warmup {
        let path = "schedule.warmup.epochs";
        inside_training(path, warmup.epochs, epochs, findings);
        whole_epoch(path, warmup.epochs, schedule.step, findings);
    }
}

/// Something happens at an epoch that training never reaches, or before it starts.
fn inside_training(path: &str, epoch: f64, epochs: usize, findings: &mut Findings) {
    if epoch <= 0.0 {
        findings
            .mistake(format!("epoch {epoch} is not after the start of training"))
            .at(path, "must be above 0");
    } else if epochs > 0 && epoch >= epochs as f64 {
        findings
            .mistake(format!(
                "`{path}` is {epoch}, and training ends after {epochs} epochs"
            ))
            .at(path, format!("an epoch below {epochs}"))
            .at("train.epochs", format!("training ends after {epochs}"));
    }
}

fn whole_epoch(path: &str, epoch: f64, step: ScheduleStep, findings: &mut Findings) {
    if step == ScheduleStep::Epoch && epoch.fract() != 0.0 {
        findings
            .mistake(format!(
                "the rate changes once an epoch, and {epoch} is inside one"
            ))
            .at(path, "no whole epoch")
            .hint("`step: Iteration` lets the rate follow every iteration");
    }
}
