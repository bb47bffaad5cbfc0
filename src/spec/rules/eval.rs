//! Rules of evaluation.

use super::Findings;
use super::train::{crop_fits, dense};
use crate::spec::experiment::*;

pub fn verify(experiment: &Experiment, findings: &mut Findings) {
    let eval = &experiment.eval;
    frames(&eval.frames, &experiment.method, findings);
    crops(eval, findings);
    if let EvalSampling::Dense { window, .. } = eval.sampling {
        let most = eval.frames.iter().copied().max().unwrap_or(0);
        let frames = ("eval.frames", most);
        dense("eval.sampling.window", window, frames, findings);
    }
}

fn frames(frames: &[usize], method: &Method, findings: &mut Findings) {
    let path = "eval.frames";
    if frames.is_empty() {
        findings
            .mistake("an experiment is evaluated at one frame count or more")
            .at(path, "no frame count");
    }
    findings.ascending(path, frames);
    if let Method::Ffn(ffn) = method {
        for (i, &count) in frames.iter().enumerate() {
            served(&format!("{path}[{i}]"), count, &ffn.frames, findings);
        }
    }
}

/// A flexible network serves counts between its branches by the nearest one; what is more than a factor of two
/// outside of them it never learnt. (A vanilla network may be asked for any: that is how the gap is shown.)
fn served(path: &str, count: usize, branches: &[usize], findings: &mut Findings) {
    let (Some(&least), Some(&most)) = (branches.iter().min(), branches.iter().max()) else {
        return;
    };
    let branch = |frames| format!("branches from {least} to {most} frames, nearest {frames}");
    let far = match count {
        _ if count.saturating_mul(2) < least => least,
        _ if count > most.saturating_mul(2) => most,
        _ => return,
    };
    findings
        .mistake(format!("no branch serves a frame count of {count} well"))
        .at(path, "more than a factor of two from every branch")
        .at("method.frames", branch(far))
        .hint(format!(
            "train a branch nearer to it, or ask a finished run: `ffn eval RUN --frames {count}`"
        ));
}

fn crops(eval: &Eval, findings: &mut Findings) {
    match eval.crops {
        Crops::One | Crops::Left | Crops::LeftCentreRight | Crops::Ten => {
            crop_fits(
                ("eval.short_side", eval.short_side),
                ("eval.size", eval.size),
                findings,
            );
        }
        Crops::Three if eval.size != eval.short_side => {
            findings
                .mistake("three crops are as large as the shorter side")
                .at("eval.size", format!("{} pixels", eval.size))
                .at("eval.short_side", format!("{} pixels", eval.short_side))
                .at("eval.crops", "three along the longer side")
                .hint("leave `size` out");
        }
        Crops::Three => {}
    }
}
