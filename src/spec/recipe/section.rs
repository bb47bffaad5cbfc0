//! The `data` section of an experiment, as a person would write it.

use super::super::experiment::*;

/// A field that is written, and the comment above it.
struct Line {
    comment: Option<&'static str>,
    name: &'static str,
    value: String,
}

const PINS: &str = "The hashes of every file, which `ffn data pin` writes.";
const LISTS: &str = "Beside this file, or in the folder of the data.";
const TEMPLATE: &str = "The name of an image; the braces stand for its number.";
const CLASS_NAMES: &str = "One class name a line, in the order of the labels.";
const SENSITIVE: &str = "Whether a class may change when left and right are exchanged. `false`, if none does, allows `flip: Random` below.";
const SPLIT: &str =
    "The first of three splits: each is an experiment of its own, with pins of its own.";
const PLACE: &str = "Where a video lies below the folder, by the columns of the lists.";

/// The value of the field `data`, for a field that is indented once.
pub fn text(data: &Data) -> String {
    let (variant, lines) = match data {
        Data::SomethingV2(data) => ("SomethingV2", something_v2(data)),
        Data::FrameFolders(data) => ("FrameFolders", frame_folders(data)),
        Data::VideoList(data) => ("VideoList", video_list(data)),
        Data::Miniature(data) => ("Miniature", miniature(data)),
    };
    let lines = lines.into_iter().map(|line| {
        let comment = line
            .comment
            .map_or(String::new(), |text| format!("        // {text}\n"));
        format!("{comment}        {}: {},\n", line.name, line.value)
    });
    format!("{variant}(\n{}    )", lines.collect::<String>())
}

fn line(name: &'static str, value: String) -> Line {
    Line {
        comment: None,
        name,
        value,
    }
}

fn told(comment: &'static str, name: &'static str, value: String) -> Line {
    Line {
        comment: Some(comment),
        ..line(name, value)
    }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn something_v2(data: &SomethingV2) -> Vec<Line> {
    vec![
        line("root", quoted(&data.root)),
        told(PINS, "pins", quoted(&data.pins)),
        line("class_count", data.class_count.to_string()),
        line("train_count", data.train_count.to_string()),
        line("validation_count", data.validation_count.to_string()),
    ]
}

fn frame_folders(data: &FrameFolders) -> Vec<Line> {
    let mut lines = vec![
        line("root", quoted(&data.root)),
        told(PINS, "pins", quoted(&data.pins)),
        told(LISTS, "train_list", quoted(&data.train_list)),
        line("validation_list", quoted(&data.validation_list)),
    ];
    let names = data.class_names.iter();
    lines.extend(names.map(|name| told(CLASS_NAMES, "class_names", quoted(name))));
    lines.push(told(TEMPLATE, "template", quoted(&data.template)));
    lines.extend((data.first != 1).then(|| line("first", data.first.to_string())));
    lines.push(line("class_count", data.class_count.to_string()));
    lines.push(told(
        SENSITIVE,
        "direction_sensitive",
        data.direction_sensitive.to_string(),
    ));
    lines.extend(counts([data.train_count, data.validation_count]));
    lines
}

fn video_list(data: &VideoList) -> Vec<Line> {
    let comment = match &data.lists {
        VideoLists::Hmdb51 { .. } => Some(SPLIT),
        VideoLists::Kinetics { .. } => Some(PLACE),
        VideoLists::Text { .. } | VideoLists::Csv { .. } => Some(LISTS),
        VideoLists::Folders { .. } => None,
    };
    let mut lines = vec![
        line("root", quoted(&data.root)),
        told(PINS, "pins", quoted(&data.pins)),
        Line {
            comment,
            ..line("lists", lists(&data.lists))
        },
    ];
    let names = data.class_names.iter();
    lines.extend(names.map(|name| told(CLASS_NAMES, "class_names", quoted(name))));
    lines.push(line("class_count", data.class_count.to_string()));
    lines.push(told(
        SENSITIVE,
        "direction_sensitive",
        data.direction_sensitive.to_string(),
    ));
    lines.extend(counts([data.train_count, data.validation_count]));
    lines
}

fn lists(lists: &VideoLists) -> String {
    match lists {
        VideoLists::Text { train, validation } => {
            format!("Text(train: {train:?}, validation: {validation:?})")
        }
        VideoLists::Csv {
            train,
            validation,
            path,
            label,
        } => format!(
            "Csv(train: {train:?}, validation: {validation:?}, path: {path:?}, label: {label:?})"
        ),
        VideoLists::Kinetics {
            train,
            validation,
            place,
        } => format!("Kinetics(train: {train:?}, validation: {validation:?}, place: {place:?})"),
        VideoLists::Hmdb51 { splits, split } => {
            format!("Hmdb51(splits: {splits:?}, split: {split})")
        }
        VideoLists::Folders { train, validation } => {
            format!("Folders(train: {train:?}, validation: {validation:?})")
        }
    }
}

fn miniature(data: &Miniature) -> Vec<Line> {
    vec![
        line("pins", quoted(&data.pins)),
        line("train", data.train.to_string()),
        line("validation", data.validation.to_string()),
        line("size", data.size.to_string()),
        line("frames", data.frames.to_string()),
    ]
}

fn counts(counts: [Option<usize>; 2]) -> impl Iterator<Item = Line> {
    let names = ["train_count", "validation_count"].into_iter().zip(counts);
    names.filter_map(|(name, count)| Some(line(name, count?.to_string())))
}
