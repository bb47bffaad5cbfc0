//! Evaluation: which frames of each video it takes, and the bytes and logits of the first.

use super::compare::{Measure, place};
use super::replayed::{Replayed, untold};
use super::report::{Difference, Outcome, Stage};
use super::{Halt, Pair, Walk, samples};
use crate::base::{Error, Result};
use crate::data::clip;
use crate::data::{Dataset, Pixels, Sample};
use crate::exec::Input;
use crate::spec::Eval;

pub fn walk(both: &mut Pair<Replayed<'_>>, measure: Measure, walk: &mut Walk) -> Result<(), Halt> {
    let outcome = frames(both).or_else(untold)?;
    walk.note(Stage::EvaluationFrames, outcome)?;
    let views = match both.as_ref().map(first_views).both() {
        Ok(views) => views,
        Err(error) => {
            let outcome = untold(error)?;
            return walk.note(Stage::EvaluationPixels, outcome);
        }
    };
    walk.note(Stage::EvaluationPixels, pixels(both, &views))?;
    let outcome = logits(both, &views, measure).or_else(untold)?;
    walk.note(Stage::EvaluationLogits, outcome)
}

/// Where both have one rule and one video, its frames are the same: one video shows it. Where the rules differ, all
/// videos are looked at, for it may take a short one to show.
fn frames(both: &Pair<Replayed<'_>>) -> Result<Outcome> {
    let counts = both
        .as_ref()
        .map(|side| format!("{:?}", side.experiment.eval.frames));
    if counts.a != counts.b {
        let difference = Difference::new("frame counts", counts.a, counts.b);
        return Ok(Outcome::Differs(vec![difference]));
    }
    let ids = |side: &Replayed<'_>| -> Vec<String> {
        let samples = side.dataset.validation.iter();
        samples
            .map(|s| format!("`{}`, label {}", s.id, s.label))
            .collect()
    };
    let difference = samples::first_apart(&both.as_ref().map(ids), "clip");
    if let Some(difference) = difference {
        return Ok(Outcome::Differs(vec![difference]));
    }
    let rules = both.as_ref().map(|side| {
        let eval = &side.experiment.eval;
        (eval.sampling, eval.short_videos)
    });
    let videos = match rules.a == rules.b {
        true => 1,
        false => both.a.dataset.validation.len(),
    };
    for place in 0..videos {
        if let Some(difference) = video_frames(both, place)? {
            return Ok(Outcome::Differs(vec![difference]));
        }
    }
    let videos = match videos {
        1 => "the rule, and the first video".to_owned(),
        _ => format!("{videos} videos"),
    };
    Ok(Outcome::Same(format!("{videos} at {} frames", counts.a)))
}

fn video_frames(both: &Pair<Replayed<'_>>, place: usize) -> Result<Option<Difference>> {
    let indices = |side: &Replayed<'_>| {
        let eval = &side.experiment.eval;
        let Some(sample) = side.dataset.validation.get(place) else {
            return Ok(Vec::new());
        };
        clip::evaluation_indices(&sample.source, eval, &eval.frames)
            .map_err(|error| error.into_error(&sample.id, sample.source.path()))
    };
    let Pair { a, b } = both.as_ref().map(indices).both()?;
    let id = both.a.dataset.validation.get(place).map_or("", |s| &s.id);
    let counts = both.a.experiment.eval.frames.iter();
    let mut pairs = counts.zip(a.iter().zip(&b)).filter(|(_, (a, b))| a != b);
    Ok(pairs.next().map(|(frames, (a, b))| {
        let shown = |clips: &Vec<Vec<usize>>| {
            let clips: Vec<String> = clips.iter().map(|clip| format!("{clip:?}")).collect();
            format!("frames {}", clips.join(", "))
        };
        Difference::new(
            format!("clip `{id}` at {frames} frames"),
            shown(a),
            shown(b),
        )
    }))
}

/// The first validation clip at each frame count.
struct Views {
    id: String,
    pixels: Vec<Pixels>,
    indices: Vec<Vec<Vec<usize>>>,
}

fn first_views(side: &Replayed<'_>) -> Result<Views> {
    let eval = &side.experiment.eval;
    let sample = first_sample(side.dataset)?;
    let unreadable =
        |error: crate::data::video::VideoError| error.into_error(&sample.id, sample.source.path());
    Ok(Views {
        id: sample.id.clone(),
        pixels: clip::evaluate(&sample.source, eval, &eval.frames).map_err(unreadable)?,
        indices: clip::evaluation_indices(&sample.source, eval, &eval.frames)
            .map_err(unreadable)?,
    })
}

fn first_sample(dataset: &Dataset) -> Result<&Sample> {
    dataset
        .validation
        .first()
        .ok_or_else(|| Error::new(crate::base::Kind::Data, "the validation split has no clips"))
}

fn pixels(both: &Pair<Replayed<'_>>, views: &Pair<Views>) -> Outcome {
    let shape = |eval: &Eval| {
        let (views, size) = (clip::evaluation_views(eval), clip::evaluation_size(eval));
        format!("{views} views of {size}×{size} pixels")
    };
    let shapes = both.as_ref().map(|side| shape(&side.experiment.eval));
    if shapes.a != shapes.b {
        let difference = Difference::new("views of a clip", shapes.a, shapes.b);
        return Outcome::Differs(vec![difference]);
    }
    let id = &views.a.id;
    let count = clip::evaluation_views(&both.a.experiment.eval);
    let pairs = views.a.pixels.iter().zip(&views.b.pixels);
    let mut differences = pairs.zip(&views.a.indices).filter_map(|((a, b), clips)| {
        // The crops of a temporal clip follow one another and have its frames.
        let crops = count / clips.len().max(1);
        let frames = clips
            .iter()
            .flat_map(|clip| std::iter::repeat_n(clip, crops));
        let length = (a.len() / count.max(1)).max(1);
        let views = a
            .clone()
            .split(length)
            .into_iter()
            .zip(b.clone().split(length));
        let mut views = views.zip(frames);
        views.find_map(|((one, other), frames)| samples::pixels_apart(id, &one, &other, frames))
    });
    Outcome::of(differences.next(), || {
        let count: usize = views.a.pixels.iter().map(Pixels::len).sum();
        let what = samples::kind(views.a.pixels.iter());
        format!("clip `{}`, {count} {what}", views.a.id)
    })
}

/// With the weights after the steps that were computed again.
fn logits(both: &mut Pair<Replayed<'_>>, views: &Pair<Views>, measure: Measure) -> Result<Outcome> {
    let frames = both.a.experiment.eval.frames.clone();
    for (index, &frames) in frames.iter().enumerate() {
        let logits = both.as_mut().zip(views.as_ref()).map(|(side, views)| {
            let eval = &side.experiment.eval;
            let pixels = match views.pixels.get(index) {
                Some(pixels) => Input::of(pixels, &eval.normalize, None),
                None => Input::Values(&[]),
            };
            let views = clip::evaluation_views(eval);
            let learner = &mut side.learner;
            learner.with_result(|model| model.evaluate(frames, views, pixels))
        });
        let Pair { a, b } = logits.both()?;
        if let Some(apart) = measure.apart(&a, &b) {
            let classes = both.a.learner.model.graph().classes;
            let shape = [a.len() / classes.max(1), classes];
            let place = format!(
                "clip `{}` at {frames} frames, logit {}",
                views.a.id,
                place(apart.index, &shape)
            );
            let difference = Difference::new(place, apart.a, apart.b).note(apart.to_string());
            return Ok(Outcome::Differs(vec![difference]));
        }
    }
    Ok(Outcome::Same(format!(
        "clip `{}` at {frames:?} frames",
        views.a.id
    )))
}
