//! Rules of the data set, and of what may not be done to its clips.

use super::Findings;
use crate::spec::experiment::*;

/// Clips of a split, and more.
const COUNT: std::ops::RangeInclusive<usize> = 1..=1_000_000_000;

pub fn verify(experiment: &Experiment, findings: &mut Findings) {
    let data = &experiment.data;
    findings.relative_path("data.pins", data.pins());
    match data {
        Data::SomethingV2(data) => {
            root(&data.root, findings);
            classes(data.class_count, findings);
            findings.whole("data.train_count", data.train_count, COUNT);
            findings.whole("data.validation_count", data.validation_count, COUNT);
        }
        Data::FrameFolders(data) => frame_folders(data, findings),
        Data::Miniature(data) => miniature(data, findings),
    }
    enough_clips(experiment, findings);
    directions(experiment, findings);
}

/// The root's name is a part of an environment variable's.
fn root(root: &str, findings: &mut Findings) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if root.is_empty() || !root.chars().all(plain) {
        findings
            .mistake("`root` must be a name of lowercase letters, digits and `_`")
            .at("data.root", "a name, not a folder")
            .hint("for `sthv2` the folder is what --data-root, FFN_DATA_STHV2 or the configuration file says");
    }
}

fn classes(count: usize, findings: &mut Findings) {
    findings.whole("data.class_count", count, 2..=1_000_000);
}

fn frame_folders(data: &FrameFolders, findings: &mut Findings) {
    root(&data.root, findings);
    classes(data.class_count, findings);
    findings.relative_path("data.train_list", &data.train_list);
    findings.relative_path("data.validation_list", &data.validation_list);
    if let Some(names) = &data.class_names {
        findings.relative_path("data.class_names", names);
    }
    for (path, count) in [
        ("data.train_count", data.train_count),
        ("data.validation_count", data.validation_count),
    ] {
        if let Some(count) = count {
            findings.whole(path, count, COUNT);
        }
    }
    if !has_one_number(&data.template) {
        findings
            .mistake("`template` must have one place for the picture's number")
            .at("data.template", "no `{}` or `{:05}`, or more than one")
            .hint("`img_{:05}.jpg` is img_00001.jpg for 1; Python's `{:05d}` is written `{:05}`");
    }
}

/// One `{}` or `{:0N}`, no other braces.
fn has_one_number(template: &str) -> bool {
    let Some((before, rest)) = template.split_once('{') else {
        return false;
    };
    let Some((place, after)) = rest.split_once('}') else {
        return false;
    };
    let digits = |d: &str| d.len() == 1 && d.bytes().all(|b| (b'1'..=b'9').contains(&b));
    let width = place.strip_prefix(":0").is_some_and(digits);
    (place.is_empty() || width) && !before.contains('}') && !after.contains(['{', '}'])
}

fn miniature(data: &Miniature, findings: &mut Findings) {
    for (path, clips) in [
        ("data.train", data.train),
        ("data.validation", data.validation),
    ] {
        findings.whole(path, clips, Miniature::CLASS_COUNT..=1_000_000);
        if !clips.is_multiple_of(Miniature::CLASS_COUNT) {
            let classes = Miniature::CLASS_COUNT;
            findings
                .mistake(format!(
                    "{clips} clips cannot be shared out among {classes} classes"
                ))
                .at(path, format!("no multiple of {classes}"));
        }
    }
    findings.whole("data.size", data.size, 16..=512);
    findings.whole("data.frames", data.frames, 2..=1024);
}

/// A split smaller than a batch has no step.
fn enough_clips(experiment: &Experiment, findings: &mut Findings) {
    let (path, clips) = match &experiment.data {
        Data::SomethingV2(data) => ("data.train_count", Some(data.train_count)),
        Data::FrameFolders(data) => ("data.train_count", data.train_count),
        Data::Miniature(data) => ("data.train", Some(data.train)),
    };
    let batch = experiment.train.batch;
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

#[cfg(test)]
mod tests {
    use super::has_one_number;

    #[test]
    fn a_template_has_one_number() {
        for legal in ["img_{:05}.jpg", "{}.png", "{:06}"] {
            assert!(has_one_number(legal), "{legal}");
        }
        for illegal in [
            "",
            "img.jpg",
            "{:05d}.jpg",
            "{}{}",
            "{",
            "}{}",
            "{:0}",
            "{:012}",
            "{:5}",
        ] {
            assert!(!has_one_number(illegal), "{illegal}");
        }
    }
}
