//! Folders and arguments that nothing is written for: what is said.

use std::fs;

use crate::clips::{self, Place};
use crate::program::{expect, stderr};

const FROM: [&str; 2] = ["--from", "tsm_miniature"];

/// What is refused of each folder.
fn refusals(cases: &[(&str, Place, &[&str])]) -> String {
    let said = cases.iter().map(|(what, place, more)| {
        let said = place.refused(4, &[&FROM, *more].concat());
        format!("--- {what}\n{said}\n")
    });
    said.collect()
}

fn with(files: &[(&str, &str)]) -> Place {
    let place = Place::new();
    files
        .iter()
        .for_each(|(name, content)| place.write(name, content));
    place
}

#[test]
fn folders_without_a_layout() {
    insta::assert_snapshot!(refusals(&[
        ("empty", Place::new(), &[]),
        (
            "classes without a split",
            with(&[("walk/1.mp4", "x"), ("run/2.mp4", "x")]),
            &[]
        ),
        (
            "images without lists",
            with(&[("a/00001.jpg", "x"), ("b/00001.jpg", "x")]),
            &[]
        ),
        (
            "images deeper",
            with(&[("walk/a/00001.jpg", "x"), ("run/b/00001.jpg", "x")]),
            &[]
        ),
        (
            "videos alone",
            with(&[("a.mp4", "x"), ("b.MP4", "x"), ("c.mov", "x")]),
            &[]
        ),
        (
            "half of the lists",
            with(&[("train.txt", "a.mp4 0\n"), ("a.mp4", "x")]),
            &[]
        ),
        (
            "something else",
            with(&[("notes.md", "x"), ("a\nb/x.pdf", "x")]),
            &[]
        ),
        (
            "a layout that it has not",
            clips::class_folders(),
            &["--layout", "kinetics"]
        ),
    ]));
}

#[test]
fn layouts_in_which_something_is_wrong() {
    let labels = r#"{"a": "0", "b": "1"}"#;
    let one = r#"[{"id": "1", "template": "a"}]"#;
    insta::assert_snapshot!(refusals(&[
        (
            "videos of another kind",
            with(&[
                ("labels.json", labels),
                ("train.json", one),
                ("validation.json", "[{\"id\": \"2\", \"template\": \"b\"}]"),
                ("1.mp4", "x"),
                ("2.mp4", "x")
            ]),
            &[]
        ),
        (
            "a label file is missing",
            with(&[("train.json", one), ("1.webm", "x")]),
            &[]
        ),
        (
            "clips in a folder below",
            with(&[
                ("train.txt", "a 3 0\n"),
                ("val.txt", "b 3 1\n"),
                ("frames/a/1.png", "x"),
                ("frames/b/1.png", "x")
            ]),
            &[]
        ),
        (
            "videos in a folder below",
            with(&[
                ("train.txt", "a.mp4 0\n"),
                ("val.txt", "b.mp4 1\n"),
                ("videos/a.mp4", "x"),
                ("videos/b.mp4", "x")
            ]),
            &[]
        ),
        (
            "folders without images",
            with(&[
                ("train.txt", "a 3 0\n"),
                ("val.txt", "b 3 1\n"),
                ("a/x.txt", "x"),
                ("b/x.txt", "x")
            ]),
            &[]
        ),
        (
            "fewer images than are listed",
            with(&[
                ("train.txt", "a 2 0\n"),
                ("val.txt", "b 1 1\n"),
                ("a/1.jpg", "x"),
                ("b/1.jpg", "x")
            ]),
            &[]
        ),
        (
            "one class",
            with(&[("train/a/1.mp4", "x"), ("val/a/2.mp4", "x")]),
            &[]
        ),
        (
            "no videos",
            with(&[
                ("train/a/1.mp4", "x"),
                ("train/b/1.mp4", "x"),
                ("val/a/2.mp4", "x")
            ]),
            &[]
        ),
        (
            "images of classes",
            with(&[
                ("train/a/v/1.jpg", "x"),
                ("train/b/v/1.jpg", "x"),
                ("val/a/v/1.jpg", "x")
            ]),
            &[]
        ),
        (
            "columns that say nothing",
            with(&[
                ("train.csv", "u,v,w\n1,2,3\n"),
                ("val.csv", "u,v,w\n1,2,3\n")
            ]),
            &[]
        ),
        (
            "Kinetics without videos",
            with(&[
                (
                    "train.csv",
                    "label,youtube_id,time_start,time_end,split\na,xyz,1,11,train\n"
                ),
                (
                    "val.csv",
                    "label,youtube_id,time_start,time_end,split\nb,xyy,1,11,val\n"
                ),
            ]),
            &[]
        ),
        (
            "UTF-16",
            with(&[("train.txt", "\u{feff}a.mp4 0\n"), ("val.txt", "b.mp4 1\n")]),
            &[]
        ),
        (
            "lists that are not there",
            Place::new(),
            &["--lists", "a.txt", "b.txt"]
        ),
    ]));
}

#[test]
fn folders_with_several_layouts() {
    let both = clips::class_folders();
    both.write("train.txt", "train/class 0/x.webm 0\n");
    both.write("val.txt", "val/class 0/x.webm 0\n");
    // What does not fit is told, and not taken.
    insta::assert_snapshot!(
        "one_of_two_fits",
        both.written(&FROM).split("\n--- ").next().unwrap()
    );
    fs::remove_file(both.path().join("mine.ron")).unwrap();
    let (mut train, mut validation) = (String::new(), String::new());
    for (split, list) in [("train", &mut train), ("val", &mut validation)] {
        for class in 0..8 {
            let folder = format!("{split}/class {class}");
            for entry in fs::read_dir(both.clips().join(&folder)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                *list += &format!("{folder}/{name} {class}\n");
            }
        }
    }
    both.write("train.txt", &train);
    both.write("val.txt", &validation);
    let two = clips::text_lists();
    fs::copy(
        two.clips().join("lists/train.txt"),
        two.clips().join("lists/train_b.txt"),
    )
    .unwrap();
    fs::copy(
        two.clips().join("lists/validation.txt"),
        two.clips().join("lists/test_b.txt"),
    )
    .unwrap();
    let broken = with(&[
        ("train.txt", "a 3 0\n"),
        ("val.txt", "b 3 1\n"),
        ("labels.json", "{}"),
    ]);
    insta::assert_snapshot!(
        "several",
        refusals(&[
            ("two layouts", both, &[]),
            ("two pairs of lists", two, &[]),
            ("none whole", broken, &[])
        ])
    );
}

#[test]
fn the_one_that_is_meant_is_taken() {
    let place = clips::text_lists();
    for (from, to) in [("train", "train_b"), ("validation", "test_b")] {
        let lists = place.clips().join("lists");
        fs::copy(
            lists.join(format!("{from}.txt")),
            lists.join(format!("{to}.txt")),
        )
        .unwrap();
    }
    let text = place.written(
        &[
            &FROM[..],
            &["--lists", "lists/train_b.txt", "lists/test_b.txt"],
        ]
        .concat(),
    );
    assert!(
        text.contains("Text(train: \"lists/train_b.txt\", validation: \"lists/test_b.txt\")"),
        "{text}"
    );
}

#[test]
fn arguments_that_cannot_be_meant() {
    let place = Place::new();
    fs::write(place.path().join("file"), "x").unwrap();
    fs::write(
        place.path().join("wrong.ron"),
        "Experiment(name: \"x\", modle: 3)",
    )
    .unwrap();
    fs::copy("experiments/sthv2.ron", place.path().join("suite.ron")).unwrap();
    let cases: [&[&str]; 12] = [
        &["new"],
        &["new", "mine"],
        &["new", "a b", "--from", "tsm_sthv2"],
        &["new", "mine", "--from", "tsm_sthv2"],
        &["new", "mine", "--from", "tsm_sthv3", "--data-root", "clips"],
        &["new", "mine", "--from", "miniature", "--data-root", "clips"],
        &["new", "mine", "--from", "suite.ron", "--data-root", "clips"],
        &["new", "mine", "--from", "wrong.ron", "--data-root", "clips"],
        &["new", "mine", "--from", "none.ron", "--data-root", "clips"],
        &[
            "new",
            "mine",
            "--from",
            "tsm_sthv2",
            "--data-root",
            "nowhere",
        ],
        &["new", "mine", "--from", "tsm_sthv2", "--data-root", "file"],
        &[
            "new",
            "mine",
            "--from",
            "tsm_sthv2",
            "--data-root",
            "s3://bucket/x",
        ],
    ];
    let said = cases.iter().map(|arguments| {
        let output = place.ffn(arguments);
        assert_ne!(output.status.code(), Some(0), "{arguments:?}");
        let said = stderr(&output);
        format!("--- {}\n{said}\n", arguments.join(" "))
    });
    let said: String = said.collect();
    let configuration = crate::program::data().join("no-configuration.ron");
    insta::assert_snapshot!(said.replace(&*configuration.to_string_lossy(), "CONFIG"));
    expect(&place.ffn(&["new", "mine", "--list"]), 2);
}
