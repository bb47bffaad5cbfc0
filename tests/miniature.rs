//! The rendered data set: the same bytes always, in Something-Something V2's layout.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ffn::base::{Kind, files};
use ffn::data::miniature::{Motion, render};
use ffn::data::video::{Image, Source, Video};
use ffn::spec::Miniature;

fn small() -> Miniature {
    Miniature {
        pins: String::new(),
        train: 16,
        validation: 8,
        size: 33,
        frames: 6,
    }
}

/// Name → SHA-256 of every file.
fn hashes(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, files::sha256_of_file(&entry.path()).unwrap())
        })
        .collect()
}

fn render_with_threads(root: &Path, threads: usize) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    let pool = pool.build().unwrap();
    pool.install(|| render(root, &small(), &|_, _| {})).unwrap();
}

#[test]
fn two_renders_give_the_same_bytes_whatever_the_threads() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    render_with_threads(one.path(), 1);
    render_with_threads(two.path(), 3);
    let rendered = hashes(one.path());
    assert_eq!(rendered, hashes(two.path()));
    assert_eq!(rendered.len(), 16 + 8 + 4);
    // Recorded on x86-64 with AVX2; the same on every machine.
    insta::assert_snapshot!(format!(
        "1.webm {}\n17.webm {}",
        rendered["1.webm"], rendered["17.webm"]
    ));
}

#[test]
fn a_killed_render_goes_on_where_it_was() {
    let root = tempfile::tempdir().unwrap();
    render_with_threads(root.path(), 2);
    let complete = hashes(root.path());
    for name in ["3.webm", "20.webm", "validation.json"] {
        fs::remove_file(root.path().join(name)).unwrap();
    }
    let untouched = fs::metadata(root.path().join("1.webm"))
        .unwrap()
        .modified()
        .unwrap();
    render_with_threads(root.path(), 2);
    assert_eq!(hashes(root.path()), complete);
    let modified = fs::metadata(root.path().join("1.webm"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(modified, untouched);
}

#[test]
fn two_renders_into_one_folder_at_once_agree() {
    let (shared, alone) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| render_with_threads(shared.path(), 1));
        }
    });
    render_with_threads(alone.path(), 2);
    assert_eq!(hashes(shared.path()), hashes(alone.path()));
}

#[test]
fn the_layout_is_that_of_something_something() {
    let root = tempfile::tempdir().unwrap();
    render_with_threads(root.path(), 2);
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(root.path().join(name)).unwrap()).unwrap()
    };
    let labels = read("labels.json");
    for (index, motion) in Motion::ALL.iter().enumerate() {
        assert_eq!(labels[motion.class_name()], index.to_string());
    }
    for (list, count, first) in [("train.json", 16, 1), ("validation.json", 8, 17)] {
        let entries = read(list);
        let entries = entries.as_array().unwrap();
        assert_eq!(entries.len(), count);
        let mut clips = [0; Motion::ALL.len()];
        for (offset, entry) in entries.iter().enumerate() {
            assert_eq!(entry["id"], (first + offset).to_string());
            let template = entry["template"].as_str().unwrap();
            let class = labels[template.replace(['[', ']'], "")].as_str().unwrap();
            clips[class.parse::<usize>().unwrap()] += 1;
            let thing = entry["placeholders"][0].as_str().unwrap();
            assert_eq!(entry["label"], template.replace("[Something]", thing));
        }
        assert_eq!(
            clips,
            [count / Motion::ALL.len(); Motion::ALL.len()],
            "{list}"
        );
    }
}

#[test]
fn clips_have_the_declared_frames_and_move() {
    let root = tempfile::tempdir().unwrap();
    render_with_threads(root.path(), 2);
    for id in 1..=24 {
        let source = Source::File(root.path().join(format!("{id}.webm")));
        let video = Video::open(&source).unwrap();
        assert_eq!(video.frame_count(), 6);
        let images = video.frames(&[0, 5]).unwrap();
        assert_eq!((images[0].width, images[0].height), (33, 33));
        assert!(difference(&images[0], &images[1]) > 1.0, "clip {id} rests");
    }
}

/// Mean absolute difference in grey levels.
fn difference(a: &Image, b: &Image) -> f64 {
    let sum: u64 = a
        .rgb
        .iter()
        .zip(&b.rgb)
        .map(|(a, b)| u64::from(a.abs_diff(*b)))
        .sum();
    sum as f64 / a.rgb.len() as f64
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    render_with_threads(root.path(), 2);
    let other = Miniature {
        frames: 7,
        ..small()
    };
    let error = render(root.path(), &other, &|_, _| {}).unwrap_err();
    assert_eq!(error.kind, Kind::Data);
    assert!(error.message.contains("holds another miniature"), "{error}");

    let foreign = tempfile::tempdir().unwrap();
    fs::write(foreign.path().join("labels.json"), "{}").unwrap();
    let error = render(foreign.path(), &small(), &|_, _| {}).unwrap_err();
    assert!(error.message.contains("holds another data set"), "{error}");
    assert_eq!(fs::read_dir(foreign.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let error = render(&file, &small(), &|_, _| {}).unwrap_err();
    assert_eq!(error.kind, Kind::Io, "{error}");
}
