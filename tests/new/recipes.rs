//! Every experiment of the program as a source.

use std::path::Path;

use ffn::spec::examples;
use ffn::spec::recipe::{Origin, Own, Weights};
use ffn::spec::{Data, FrameFolders, Missing, SomethingV2, Unreadable, VideoList, VideoLists};

use crate::clips;
use crate::program::{expect, ffn, stderr, stdout};

/// What is said of data sets of the repository, and would be false of others. (What is said of weights stays true.)
const OF_OTHER_DATA: [&str; 18] = [
    "Something-Something",
    "usual for Kinetics",
    "HMDB51",
    "CVDF",
    "the miniature",
    "motion",
    "mirrored clip shows",
    "32 x 32",
    "32 pixels",
    "small images",
    "videos in all",
    "No class tells",
    "of each class",
    "pushing",
    "Pushing",
    "when a copy was downloaded",
    "The TSM lists, beside",
    "as distributed",
];

fn data(clips: usize) -> [Data; 3] {
    let (root, pins) = ("mine".to_owned(), "mine.pins.ron".to_owned());
    [
        Data::SomethingV2(SomethingV2 {
            root: root.clone(),
            pins: pins.clone(),
            class_count: 2,
            train_count: clips,
            validation_count: 4,
            unreadable: Unreadable::Fail,
        }),
        Data::FrameFolders(FrameFolders {
            root: root.clone(),
            pins: pins.clone(),
            train_list: "train.txt".into(),
            validation_list: "val.txt".into(),
            class_names: None,
            template: "{:05}.jpg".into(),
            first: 0,
            class_count: 2,
            direction_sensitive: true,
            train_count: Some(clips),
            validation_count: Some(4),
            unreadable: Unreadable::Fail,
        }),
        Data::VideoList(VideoList {
            root,
            pins,
            lists: VideoLists::Folders {
                train: "train".into(),
                validation: "val".into(),
            },
            class_names: Some("classes.txt".into()),
            class_count: 3,
            direction_sensitive: true,
            train_count: Some(clips),
            validation_count: Some(4),
            missing: Missing::Fail,
            unreadable: Unreadable::Fail,
        }),
    ]
}

#[test]
fn each_recipe_fits_each_layout_and_says_nothing_of_other_data() {
    for example in examples::experiments() {
        let origin = Origin::parse(example.name, example.text).unwrap();
        for data in [4, 20, 20_000].iter().flat_map(|clips| data(*clips)) {
            let weights = origin.weights().map(|file| Weights {
                file: file.to_owned(),
                is_there: false,
            });
            let recipe = origin
                .on(&Own {
                    name: "mine",
                    data: &data,
                    layout: "clips",
                    lengths: &[3, 9],
                    weights,
                })
                .unwrap();
            assert_eq!(recipe.experiment.data, data, "{}", recipe.text);
            assert_eq!(recipe.experiment.name, "mine");
            let (model, method) = (&recipe.experiment.model, &recipe.experiment.method);
            assert_eq!(
                (model, method),
                (&origin.experiment.model, &origin.experiment.method)
            );
            for line in recipe.text.lines().filter(|line| line.contains("//")) {
                let found = OF_OTHER_DATA.iter().find(|words| line.contains(**words));
                assert_eq!(found, None, "{}: {line}", example.name);
                assert!(line.chars().count() <= 145, "{line}");
            }
        }
    }
}

#[test]
fn the_list_says_what_each_is() {
    let output = ffn(&["new", "--list"]);
    expect(&output, 0);
    insta::assert_snapshot!(stdout(&output));
}

/// Of a recipe in a folder below, whose weights are there.
#[test]
fn weights_below_are_found() {
    let place = clips::something_v2();
    let theirs = place.path().join("theirs");
    std::fs::create_dir_all(theirs.join("weights")).unwrap();
    std::fs::write(theirs.join("weights/resnet50.safetensors"), "").unwrap();
    std::fs::copy("experiments/tsm_sthv2.ron", theirs.join("x.ron")).unwrap();
    let text = place.written(&["--from", "theirs/x.ron"]);
    assert!(
        text.contains("file: \"theirs/weights/resnet50.safetensors\""),
        "{text}"
    );
    assert!(!text.contains("belongs beside this file"), "{text}");
}

/// The same file wherever the clips are.
#[test]
fn no_path_of_this_machine_is_in_the_file() {
    let place = clips::class_folders();
    let here = place.written(&["--from", "tsm_miniature"]);
    let elsewhere = place.clips();
    let output = place.ffn(&[
        "new",
        "mine",
        "--from",
        "tsm_miniature",
        "--data-root",
        elsewhere.to_str().unwrap(),
        "--out",
        "deep/er/other.ron",
    ]);
    expect(&output, 0);
    let other = std::fs::read_to_string(place.path().join("deep/er/other.ron")).unwrap();
    assert!(here.ends_with(&other), "{other}");
    assert!(!other.contains(&*Path::new(&elsewhere).to_string_lossy()));
    // A file that is there is replaced by nobody who does not say so.
    let output = place.new_mine(&["--from", "tsm_miniature"]);
    expect(&output, 2);
    insta::assert_snapshot!(stderr(&output));
    expect(&place.new_mine(&["--from", "tsm_miniature", "--force"]), 0);
}

#[test]
fn the_environment_may_say_where_the_clips_are() {
    let place = clips::class_folders();
    let mut command = crate::program::command(&["new", "My-Own.2", "--from", "tsm_miniature"]);
    command
        .current_dir(place.path())
        .env("FFN_DATA_MY_OWN_2", "clips");
    let output = crate::program::InTime::in_time(&mut command);
    expect(&output, 0);
    let text = std::fs::read_to_string(place.path().join("My-Own.2.ron")).unwrap();
    assert!(text.contains("root: \"my_own_2\""), "{text}");
    assert!(
        stdout(&output).contains("ffn run My-Own.2.ron "),
        "{}",
        stdout(&output)
    );
}
