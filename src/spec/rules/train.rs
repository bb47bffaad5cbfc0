//! Rules of training: clips, optimizer, schedule.

use super::{Findings, above_zero};
use crate::base::limits;
use crate::spec::experiment::*;

/// Heights and widths of pictures in pixels.
pub const PIXELS: std::ops::RangeInclusive<usize> = 16..=limits::PIXELS.most as usize;

/// Clips of a batch.
pub const BATCH: std::ops::RangeInclusive<usize> = 1..=limits::BATCH.most as usize;

pub fn verify(experiment: &Experiment, findings: &mut Findings) {
    let train = &experiment.train;
    findings.whole("train.epochs", train.epochs, 1..=100_000);
    findings.whole("train.batch", train.batch, BATCH);
    norm_clips(train, findings);
    clips(&train.clips, experiment.method.frames(), findings);
    optimizer(&experiment.optimizer, findings);
    schedule(&experiment.schedule, train.epochs, findings);
}

fn norm_clips(train: &Train, findings: &mut Findings) {
    let (batch, path) = (train.batch, "train.norm_clips");
    let Some(clips) = train.norm_clips else {
        return;
    };
    findings.whole(path, clips, BATCH);
    if clips > 0 && !batch.is_multiple_of(clips) {
        findings
            .mistake(format!(
                "{batch} clips cannot be shared out in groups of {clips}"
            ))
            .at(path, format!("does not divide {batch}"))
            .at("train.batch", format!("{batch} clips in a step"));
    }
}

fn clips(clips: &TrainClips, frames: &[usize], findings: &mut Findings) {
    findings.whole("train.clips.size", clips.size, PIXELS);
    normalize("train.clips.normalize", &clips.normalize, findings);
    if let TrainSampling::Dense { window } = clips.sampling {
        let most = frames.iter().copied().max().unwrap_or(0);
        dense(
            "train.clips.sampling.window",
            window,
            ("method.frames", most),
            findings,
        );
    }
    match &clips.crop {
        TrainCrop::MultiScale {
            scales,
            max_distortion,
            ..
        } => multi_scale(scales, *max_distortion, findings),
        TrainCrop::Centre { short_side } => {
            let path = "train.clips.crop.short_side";
            findings.whole(path, *short_side, PIXELS);
            crop_fits(
                (path, *short_side),
                ("train.clips.size", clips.size),
                findings,
            );
        }
    }
}

/// A window of a dense clip holds at least as many frames as are taken from it.
pub fn dense(path: &str, window: usize, frames: (&str, usize), findings: &mut Findings) {
    findings.whole(path, window, 1..=100_000);
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

/// A crop is at most as large as the resized picture.
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

fn multi_scale(scales: &[f64], max_distortion: usize, findings: &mut Findings) {
    let path = "train.clips.crop.scales";
    if scales.is_empty() {
        findings
            .mistake("a multi-scale crop needs a scale")
            .at(path, "no scale")
            .hint("the official ones: [1, 0.875, 0.75, 0.66]");
    }
    for (i, &scale) in scales.iter().enumerate() {
        findings.number(&format!("{path}[{i}]"), scale, above_zero(1.0));
    }
    findings.whole("train.clips.crop.max_distortion", max_distortion, 0..=100);
}

pub fn normalize(path: &str, normalize: &Normalize, findings: &mut Findings) {
    for (i, &mean) in normalize.mean.iter().enumerate() {
        findings.number(&format!("{path}.mean[{i}]"), mean, 0.0..=1.0);
    }
    for (i, &std) in normalize.std.iter().enumerate() {
        findings.number(&format!("{path}.std[{i}]"), std, above_zero(10.0));
    }
}

fn optimizer(sgd: &Sgd, findings: &mut Findings) {
    findings.number("optimizer.lr", sgd.lr, above_zero(100.0));
    findings.number("optimizer.momentum", sgd.momentum, 0.0..1.0);
    findings.number("optimizer.weight_decay", sgd.weight_decay, 0.0..=1.0);
    if let Some(clip) = &sgd.clip {
        findings.number("optimizer.clip.norm", clip.norm, above_zero(1e9));
    }
    let groups = &sgd.groups;
    for (name, group) in [
        ("first_conv", groups.first_conv),
        ("conv", groups.conv),
        ("alteration", groups.alteration),
        ("norm", groups.norm),
        ("classifier_weight", groups.classifier_weight),
        ("classifier_bias", groups.classifier_bias),
    ] {
        findings.number(
            &format!("optimizer.groups.{name}.lr"),
            group.lr,
            0.0..=1000.0,
        );
        findings.number(
            &format!("optimizer.groups.{name}.decay"),
            group.decay,
            0.0..=1000.0,
        );
    }
}

fn schedule(schedule: &Schedule, epochs: usize, findings: &mut Findings) {
    match &schedule.shape {
        ScheduleShape::MultiStep { milestones, gamma } => {
            findings.number("schedule.shape.gamma", *gamma, above_zero(1.0));
            findings.ascending("schedule.shape.milestones", milestones);
            for (i, &milestone) in milestones.iter().enumerate() {
                let path = format!("schedule.shape.milestones[{i}]");
                inside_training(&path, milestone, epochs, findings);
                whole_epoch(&path, milestone, schedule.step, findings);
            }
        }
        ScheduleShape::Cosine { last } => {
            findings.number("schedule.shape.last", *last, 0.0..=1.0);
        }
    }
    if let Some(warmup) = &schedule.warmup {
        findings.number("schedule.warmup.from", warmup.from, 0.0..=1.0);
        inside_training("schedule.warmup.epochs", warmup.epochs, epochs, findings);
        whole_epoch(
            "schedule.warmup.epochs",
            warmup.epochs,
            schedule.step,
            findings,
        );
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
                "epoch {epoch} is beyond the last of {epochs} epochs"
            ))
            .at(path, "never reached")
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
