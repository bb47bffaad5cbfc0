//! Rules of the model and the method.

use super::Findings;
use crate::spec::experiment::*;

pub fn verify(experiment: &Experiment, findings: &mut Findings) {
    match &experiment.model {
        Model::Tsm(tsm) => {
            if let Backbone::ResNet(resnet) = &tsm.backbone {
                stages(resnet, findings);
            }
            shift(tsm, findings);
        }
        Model::Tea(tea) => {
            excitation(&tea.backbone, findings);
            unaltered(&experiment.method, findings);
        }
        Model::SlowFast(slowfast) => pathways(slowfast, experiment, findings),
        Model::UniFormer(uniformer) => heads(uniformer, findings),
    }
    init(experiment, findings);
    if let Method::Ffn(ffn) = &experiment.method {
        flexible(ffn, experiment.train.shard_clips(), findings);
        shortened_steps(ffn, experiment.data.unreadable(), findings);
    }
}

fn stages(resnet: &ResNet, findings: &mut Findings) {
    let stages = resnet.blocks.len();
    if !(1..=6).contains(&stages) {
        findings
            .mistake(format!("a ResNet has 1 to 6 stages, found {stages}"))
            .at("model.backbone.blocks", "one number for each stage");
    }
}

/// Motion excitation squeezes the channels of all parts to a sixteenth.
fn excitation(res2net: &Res2Net, findings: &mut Findings) {
    let Res2Net {
        planes,
        width,
        scale,
        ..
    } = *res2net;
    let channels = res2net.part(0).saturating_mul(scale);
    // Of a size that is refused nothing more is said.
    if channels >= 16 || planes == 0 || width == 0 || scale < 2 {
        return;
    }
    findings
        .mistake(format!(
            "motion excitation leaves a sixteenth of {channels} channels, which is none"
        ))
        .at(
            "model.backbone.width",
            format!("{width} channels at 64 planes"),
        )
        .at(
            "model.backbone.planes",
            format!("{planes} in the first stage"),
        )
        .at("model.backbone.scale", format!("{scale} parts"))
        .hint("`scale` · ⌊`width` · `planes` / 64⌋ must be 16 or more");
}

/// Both pathways have channels, and as many slow frames as the fast one's convolutions leave.
fn pathways(slowfast: &SlowFast, experiment: &Experiment, findings: &mut Findings) {
    let SlowFast {
        width,
        alpha,
        beta,
        fusion_kernel,
        ..
    } = *slowfast;
    if width.checked_rem(beta).is_some_and(|rest| rest != 0) {
        findings
            .mistake(format!("`beta` {beta} does not divide `width` {width}"))
            .at(
                "model.beta",
                "the fast pathway has `width` / `beta` channels",
            )
            .at("model.width", format!("{width} channels"));
    }
    if fusion_kernel.is_multiple_of(2) {
        findings
            .mistake(format!(
                "`fusion_kernel` must be odd, found {fusion_kernel}"
            ))
            .at("model.fusion_kernel", "it has a middle");
    }
    let trained: Vec<(String, usize)> = match &experiment.method {
        Method::Vanilla { frames } => vec![("method.frames".to_owned(), *frames)],
        Method::Ffn(ffn) => indexed("method.frames", &ffn.frames),
    };
    let evaluated = indexed("eval.frames", &experiment.eval.frames);
    for (path, frames) in trained.into_iter().chain(evaluated) {
        // Of frame counts and factors that are refused nothing more is said.
        if frames == 0 || frames.checked_rem(alpha).is_none_or(|rest| rest == 0) {
            continue;
        }
        let below = frames / alpha * alpha;
        let legal: Vec<String> = [below, below + alpha]
            .into_iter()
            .filter(|&frames| frames > 0)
            .map(|frames| frames.to_string())
            .collect();
        findings
            .mistake(format!(
                "{frames} frames are no multiple of `alpha` {alpha}"
            ))
            .at(
                path,
                "the fast pathway leaves one more frame than the slow one has",
            )
            .at(
                "model.alpha",
                format!("{alpha} fast frames for each slow one"),
            )
            .hint(format!("the nearest: {}", legal.join(" and ")));
    }
}

fn indexed(path: &str, counts: &[usize]) -> Vec<(String, usize)> {
    let counts = counts.iter().enumerate();
    counts
        .map(|(i, &count)| (format!("{path}[{i}]"), count))
        .collect()
}

/// The widths of the stages with attention fall into heads.
fn heads(uniformer: &UniFormer, findings: &mut Findings) {
    let head = uniformer.head_width;
    for (stage, &width) in uniformer.widths.iter().enumerate().skip(2) {
        if width.checked_rem(head).is_some_and(|rest| rest != 0) {
            findings
                .mistake(format!(
                    "`head_width` {head} does not divide {width} channels"
                ))
                .at("model.head_width", format!("{head} channels a head"))
                .at(
                    format!("model.widths[{stage}]"),
                    format!("{width} channels"),
                );
        }
    }
}

fn unaltered(method: &Method, findings: &mut Findings) {
    if let Method::Ffn(ffn) = method
        && ffn.alteration != Alteration::Off
    {
        findings
            .mistake("FFN on TEA has no alteration")
            .at("method.alteration", "must be `Off`")
            .at(
                "model",
                "the official code of it has private norms and distillation alone",
            )
            .hint("`alteration: Off`, which is the default with TEA");
    }
}

/// Every width that the shift acts on is a multiple of the first stage's.
fn shift(tsm: &Tsm, findings: &mut Findings) {
    let Shift { div, place } = tsm.shift;
    let width = tsm.backbone.layout().width;
    // Of a width that is refused nothing more is said.
    if place == ShiftPlace::Nowhere || !WIDTHS.contains(&width) {
        return;
    }
    let path = "model.shift.div";
    if div < 2 {
        findings
            .mistake(format!("`div` must be 2 or more, found {div}"))
            .at(path, "two parts of the channels are shifted")
            .hint("`place: Nowhere` is a network without shift");
    } else if !width.is_multiple_of(div) {
        let divisors: Vec<String> = (2..=width)
            .filter(|d| width.is_multiple_of(*d))
            .map(|d| d.to_string())
            .collect();
        findings
            .mistake(format!(
                "`div` {div} does not divide the {width} channels that are shifted"
            ))
            .at(path, format!("{width} / {div} is no whole number"))
            .at(
                "model.backbone",
                format!("its first stage has width {width}"),
            )
            .hint(format!("{width} can be divided by {}", divisors.join(", ")));
    }
}

fn init(experiment: &Experiment, findings: &mut Findings) {
    match experiment.model.init() {
        Init::Random if experiment.train.frozen_norms == FrozenNorms::All => {
            findings
                .warning("all norms are frozen, and nothing gives them statistics")
                .at("train.frozen_norms", "they stay at mean 0 and variance 1")
                .at("model.init", "random weights have seen no data");
        }
        Init::Pretrained { sha256: None, .. } => {
            findings
                .warning("the initial weights are not pinned: no run starts from them")
                .at("model.init", "`sha256` is not given")
                .hint("get the file; `ffn run` then stops and prints its SHA-256, to write here");
        }
        Init::Random | Init::Pretrained { .. } => {}
    }
}

fn flexible(ffn: &Ffn, batch: usize, findings: &mut Findings) {
    let path = "method.frames";
    if ffn.frames.len() < 2 {
        findings
            .mistake(format!(
                "FFN needs two or more frame counts, found {}",
                ffn.frames.len()
            ))
            .at(path, "the largest teaches the others")
            .hint("for one frame count: `method: Vanilla(frames: …)`");
    }
    findings.ascending(path, &ffn.frames);
    if ffn.lambda == 0.0 {
        findings
            .warning("the smaller branches learn nothing but shared weights")
            .at("method.lambda", "their loss weighs nothing");
    }
    if let ShiftSegments::Shared(group) = ffn.shift_segments {
        shared_segments(group, &ffn.frames, batch, findings);
    }
}

const SHIFT_SEGMENTS: &str = "method.shift_segments";

/// A step that leaves a video out must fall into whole groups too, however many clips are left.
fn shortened_steps(ffn: &Ffn, unreadable: Unreadable, findings: &mut Findings) {
    let (Unreadable::Skip, ShiftSegments::Shared(group)) = (unreadable, ffn.shift_segments) else {
        return;
    };
    let cut = |&(_, frames): &(usize, &usize)| frames.checked_rem(group).unwrap_or(0) != 0;
    if let Some((i, frames)) = ffn.frames.iter().enumerate().find(cut) {
        findings
            .mistake(format!(
                "a step with a clip of {frames} frames left out does not fall into groups of {group}"
            ))
            .at("data.unreadable", "leaves clips out")
            .at(SHIFT_SEGMENTS, format!("groups of {group} frames"))
            .at(format!("method.frames[{i}]"), format!("{frames} frames in a clip"))
            .hint("`unreadable: Fail`, or `shift_segments: PerBranch`");
    }
}

/// The batch of every branch must fall into whole groups.
fn shared_segments(group: usize, frames: &[usize], batch: usize, findings: &mut Findings) {
    let path = SHIFT_SEGMENTS;
    for (i, &count) in frames.iter().enumerate() {
        let rest = batch.saturating_mul(count).checked_rem(group).unwrap_or(0);
        if rest != 0 {
            findings
                .mistake(format!(
                    "{batch} clips of {count} frames do not fall into groups of {group}: {rest} are left"
                ))
                .at("train.batch", format!("{batch} clips in a step"))
                .at(format!("method.frames[{i}]"), format!("{count} frames in a clip"))
                .at(path, format!("groups of {group} frames"))
                .hint(format!("`batch` times each frame count must be a multiple of {group}"));
        }
    }
}
