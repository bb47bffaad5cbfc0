//! `eval/<T>.json` and `eval/<T>.predictions.jsonl`: what a model says at one frame count.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::checkpoint::hash_mismatch;
use super::left_out;
use crate::base::statistics::percentage;
use crate::base::{Error, Held, Kind, Result, Shown, files, limits};

/// How many classes of a clip are kept.
pub const TOP: usize = 5;

/// The result of one frame count, over the validation split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Frames of a clip in evaluation.
    pub frames: usize,
    /// Frame count of the branch that served it: its own, else the nearest, ties to the larger.
    pub branch: usize,
    /// Training steps that the model has had.
    pub step: u64,
    pub clips: usize,
    /// Views of a clip; their logits are averaged.
    pub views: usize,
    /// Clips whose class is the first.
    pub top1: usize,
    /// Clips whose class is among the first five.
    pub top5: usize,
    /// Mean cross entropy.
    pub loss: f64,
    /// By class name.
    pub classes: BTreeMap<String, ClassCount>,
    pub pinned: bool,
    /// Training videos that the model never saw whole, or at all, because they are damaged: see the manifest's.
    #[serde(default, skip_serializing_if = "left_out::is_none")]
    pub left_out: usize,
    /// SHA-256 of the predictions.
    pub predictions_sha256: String,
}

/// The clips of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCount {
    pub clips: usize,
    /// Clips whose class is the first.
    pub top1: usize,
}

impl Summary {
    /// In percent.
    pub fn top1_percent(&self) -> f64 {
        percentage(self.top1, self.clips)
    }

    /// In percent.
    pub fn top5_percent(&self) -> f64 {
        percentage(self.top5, self.clips)
    }
}

/// What is said about one clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    pub id: String,
    pub label: usize,
    pub predicted: usize,
    /// Probability of the label.
    pub probability: f64,
    /// Place of the label among the classes, from 1; equal logits rank by class number.
    pub rank: usize,
    /// The first five classes with their probabilities.
    pub top: Vec<(usize, f64)>,
}

impl Prediction {
    /// From the logits of a clip. Fails when one is not finite: such a model says nothing.
    pub fn new(id: &str, label: usize, logits: &[f32]) -> Result<Self> {
        let ranked = ranked(id, logits)?;
        let place = ranked.iter().position(|&(class, _)| class == label);
        let place = place.ok_or_else(|| {
            Error::new(
                Kind::Data,
                format!("clip `{id}` has class {label} of {}", logits.len()),
            )
        })?;
        Ok(Self {
            id: id.to_owned(),
            label,
            predicted: ranked.first().map_or(0, |&(class, _)| class),
            probability: ranked.get(place).map_or(0.0, |&(_, p)| p),
            rank: place + 1,
            top: ranked.into_iter().take(TOP).collect(),
        })
    }
}

/// All classes with their probabilities, softmax in float64, the most probable first.
pub fn ranked(id: &str, logits: &[f32]) -> Result<Vec<(usize, f64)>> {
    if let Some(value) = logits.iter().find(|value| !value.is_finite()) {
        return Err(Error::new(
            Kind::Diverged,
            format!("the model's output for clip `{id}` is {value}"),
        ));
    }
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights = logits
        .iter()
        .map(|&v| libm::exp(f64::from(v) - f64::from(largest)));
    let mut classes: Vec<(usize, f64)> = weights.enumerate().collect();
    let total: f64 = classes.iter().map(|&(_, weight)| weight).sum();
    for (_, weight) in &mut classes {
        *weight /= total;
    }
    let logit = |class: usize| logits.get(class).copied().unwrap_or(f32::NEG_INFINITY);
    classes.sort_by(|a, b| logit(b.0).total_cmp(&logit(a.0)).then(a.0.cmp(&b.0)));
    Ok(classes)
}

/// -ln of the label's probability, in float64.
pub fn cross_entropy(logits: &[f32], label: usize) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let weights = logits.iter().map(|&v| libm::exp(f64::from(v) - largest));
    let own = logits.get(label).map_or(f64::NAN, |&v| f64::from(v));
    libm::log(weights.sum()) - (own - largest)
}

/// The predictions of one frame count as lines of JSON.
pub fn lines(predictions: &[Prediction]) -> Result<String> {
    let mut text = String::new();
    for prediction in predictions {
        let line = serde_json::to_string(prediction)
            .map_err(|e| Error::new(Kind::Run, format!("cannot write as JSON: {e}")))?;
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

/// Writes `<T>.predictions.jsonl`, then `<T>.json`: a summary that is there has its predictions.
pub fn write(folder: &Held, summary: &Summary, predictions: &[Prediction]) -> Result<()> {
    let name = summary.frames;
    folder.write_atomic(
        &format!("{name}.predictions.jsonl"),
        lines(predictions)?.as_bytes(),
    )?;
    let mut text = serde_json::to_string_pretty(summary)
        .map_err(|e| Error::new(Kind::Run, format!("cannot write as JSON: {e}")))?;
    text.push('\n');
    folder.write_atomic(&format!("{name}.json"), text.as_bytes())
}

/// The predictions that belong to a summary in the same folder; fails where they are not those that it was made from.
pub fn read_predictions(folder: &Path, summary: &Summary) -> Result<Vec<Prediction>> {
    let path = folder.join(format!("{}.predictions.jsonl", summary.frames));
    let text = files::read_text(&path, limits::DOCUMENT)?;
    let computed = files::sha256(text.as_bytes());
    if computed != summary.predictions_sha256 {
        return Err(hash_mismatch(&path, &summary.predictions_sha256, &computed));
    }
    let lines = text.lines().enumerate();
    let read = lines.map(|(index, line)| {
        serde_json::from_str(line).map_err(|e| {
            let place = format!("`{}` line {}", path.shown(), index + 1);
            Error::new(Kind::Run, format!("{place}: {e}"))
        })
    });
    read.collect()
}

/// The summaries in a folder, by frame count.
pub fn read_all(folder: &Path) -> Result<Vec<Summary>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read", folder, &e)),
    };
    let mut summaries = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io("read", folder, &e))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            summaries.push(read(&path)?);
        }
    }
    summaries.sort_by_key(|summary: &Summary| summary.frames);
    Ok(summaries)
}

/// The summaries of a run's evaluations, those after epochs and the final one, by frame count and step.
pub fn over_training(eval: &Path) -> Result<Vec<Summary>> {
    let mut summaries = read_all(eval)?;
    let entries = std::fs::read_dir(eval).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    for path in folders {
        summaries.extend(read_all(&path)?);
    }
    // A run may be evaluated after its last epoch and at its end, which is the same model.
    summaries.sort_by_key(|summary| (summary.frames, summary.step));
    summaries.dedup_by_key(|summary| (summary.frames, summary.step));
    Ok(summaries)
}

/// Of several evaluations the last that has all its frame counts, `counts` of them.
pub fn last_whole(evaluations: &[Summary], counts: usize) -> Vec<Summary> {
    let at = |step: u64| {
        evaluations
            .iter()
            .filter(move |summary| summary.step == step)
    };
    let steps = evaluations.iter().map(|summary| summary.step);
    let last = steps.filter(|&step| at(step).count() >= counts).max();
    last.map_or(Vec::new(), |step| at(step).cloned().collect())
}

/// Writes the results in the folder `from` into another, the predictions before their summary.
pub fn copy(from: &Path, into: &Held) -> Result<()> {
    for summary in read_all(from)? {
        let predictions = read_predictions(from, &summary)?;
        write(into, &summary, &predictions)?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Summary> {
    serde_json::from_str(&files::read_text(path, limits::DOCUMENT)?)
        .map_err(|e| Error::new(Kind::Run, format!("`{}` is damaged: {e}", path.shown())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_logits_rank_by_class() {
        let prediction = Prediction::new("a", 2, &[1.0, 3.0, 3.0, 0.0]).unwrap();
        assert_eq!((prediction.predicted, prediction.rank), (1, 2));
        let order: Vec<usize> = prediction.top.iter().map(|&(class, _)| class).collect();
        assert_eq!(order, [1, 2, 0, 3]);
    }

    #[test]
    fn probabilities_sum_to_one_far_from_zero() {
        let ranked = ranked("a", &[1000.0, 999.0, -1000.0]).unwrap();
        assert!((ranked.iter().map(|&(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-15);
        assert!((ranked[0].1 - 1.0 / (1.0 + (-1f64).exp())).abs() < 1e-15);
    }

    #[test]
    fn cross_entropy_is_finite_where_the_probability_is_zero() {
        assert_eq!(cross_entropy(&[0.0, 2000.0], 0), 2000.0);
        assert!((cross_entropy(&[1.0; 8], 3) - 8f64.ln()).abs() < 1e-15);
    }

    #[test]
    fn a_logit_that_is_not_finite_is_no_answer() {
        assert_eq!(
            ranked("a", &[0.0, f32::NAN]).unwrap_err().kind,
            Kind::Diverged
        );
    }
}
