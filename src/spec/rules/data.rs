//! Rules of the data set, and of what may not be done to its clips.

use super::Findings;
use crate::spec::experiment::*;

pub fn verify(experiment: &Experiment, findings: &mut Findings) {
    if let Data::Miniature(data) = &experiment.data {
        miniature(data, findings);
    }
    enough_clips(experiment, findings);
    directions(experiment, findings);
}

fn miniature(data: &Miniature, findings: &mut Findings) {
    let classes = Miniature::CLASS_COUNT;
    for (path, clips) in [
        ("data.train", data.train),
        ("data.validation", data.validation),
    ] {
        if !clips.is_multiple_of(classes) {
            findings
                .mistake(format!(
                    "{clips} clips cannot be shared out among {classes} classes"
                ))
                .at(path, format!("no multiple of {classes}"));
        }
    }
}

/// A split smaller than a batch has no step.
fn enough_clips(experiment: &Experiment, findings: &mut Findings) {
    let path = match &experiment.data {
        Data::Miniature(_) => "data.train",
        _ => "data.train_count",
    };
    let (batch, clips) = (experiment.train.batch, &experiment.train.clips);
    let videos = experiment.data.train_count();
    let classes = experiment.data.class_count();
    let rounded = match experiment.train.subset < 1.0 {
        // Each class is rounded by itself: at most so many more. The run counts.
        true => classes,
        false => 0,
    };
    let videos = videos.map(|all| all.min(experiment.train.videos(all, classes) + rounded));
    let clips = videos.map(|videos| clips.clips(videos));
    if let Some(clips) = clips.filter(|&clips| clips < batch) {
        findings
            .mistake(format!("a step takes {batch} clips, and there are {clips}"))
            .at("train.batch", format!("{batch} clips in a step"))
            .at(path, format!("{clips} clips for training"));
    }
}

/// "Pushing something from left to right" is another class in a mirror.
fn directions(experiment: &Experiment, findings: &mut Findings) {
    let sensitive = experiment.data.direction_sensitive();
    let why = "some of its classes change when left and right are exchanged";
    match &experiment.train.clips.flip {
        Flip::Random if sensitive => {
            findings
                .mistake("a random flip would teach wrong labels")
                .at("train.clips.flip", "exchanges left and right")
                .at("data", why)
                .hint("`flip: Off`, or `flip: Mapped(classes: [(\"…left…\", \"…right…\")])`");
        }
        Flip::Mapped { classes } if classes.is_empty() && sensitive => {
            findings
                .mistake("the map of flipped classes is empty, and clips are flipped")
                .at("train.clips.flip.classes", "no class changes")
                .at("data", why)
                .hint("`flip: Off`, or the pairs of classes that a flip exchanges");
        }
        Flip::Mapped { classes } => flip_map(classes, findings),
        Flip::Random | Flip::Off => {}
    }
    if experiment.eval.crops == Crops::Ten {
        ten_crops(experiment, sensitive.then_some(("data", why)), findings);
    }
}

/// A mirrored crop is scored with the label of the clip.
fn ten_crops(experiment: &Experiment, declared: Option<(&str, &str)>, findings: &mut Findings) {
    let mapped = match &experiment.train.clips.flip {
        Flip::Mapped { classes } if !classes.is_empty() => {
            Some(("train.clips.flip.classes", "classes that a flip exchanges"))
        }
        _ => None,
    };
    if let Some((path, what)) = declared.or(mapped) {
        findings
            .mistake("five of ten crops are flipped, and would be scored with wrong labels")
            .at("eval.crops", "exchanges left and right")
            .at(path, what)
            .hint("`crops: Three` flips nothing");
    }
}

fn flip_map(classes: &[(String, String)], findings: &mut Findings) {
    let path = "train.clips.flip.classes";
    let mut seen = std::collections::BTreeSet::new();
    for (i, (a, b)) in classes.iter().enumerate() {
        let at = format!("{path}[{i}]");
        if a == b {
            findings
                .mistake(format!("class {a:?} is exchanged with itself"))
                .at(at, "a class that stays needs no entry");
        } else if !seen.insert(a) | !seen.insert(b) {
            findings
                .mistake("a class is exchanged twice")
                .at(at, "one of them is in an earlier pair");
        }
    }
}
