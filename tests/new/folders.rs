//! Each layout: what is printed, what is written, and that the rest of the way can be gone.

use crate::clips::{self, Place};
use crate::program::{expect, stdout};

#[test]
fn something_v2_is_found() {
    let place = clips::something_v2();
    insta::assert_snapshot!(place.written(&["--from", "ffn_tsm_sthv2"]));
}

#[test]
fn frame_folders_are_found() {
    let place = clips::frame_folders();
    insta::assert_snapshot!(place.written(&["--from", "tsm_miniature"]));
}

#[test]
fn class_folders_are_found() {
    let place = clips::class_folders();
    insta::assert_snapshot!(place.written(&["--from", "ffn_tsm_k400"]));
}

#[test]
fn text_lists_are_found_with_their_class_names() {
    let place = clips::text_lists();
    insta::assert_snapshot!(place.written(&["--from", "uniformer_sthv1"]));
}

#[test]
fn csv_lists_are_found_by_what_their_columns_hold() {
    let place = clips::csv_lists();
    insta::assert_snapshot!(place.written(&["--from", "slowfast_sthv1"]));
}

#[test]
fn lists_of_kinetics_are_found_with_the_place_of_the_videos() {
    let place = clips::kinetics();
    insta::assert_snapshot!(place.written(&["--from", "tea_sthv1"]));
}

#[test]
fn splits_of_hmdb51_are_found() {
    let place = clips::hmdb51();
    insta::assert_snapshot!(place.written(&["--from", "tsm_sthv2"]));
}

/// The commands that `ffn new` prints, of which the run is made short.
fn goes_the_whole_way(place: &Place) {
    expect(&place.new_mine(&["--from", "ffn_tsm_miniature"]), 0);
    let short = [
        "--set=train.epochs=1",
        "--set=schedule.warmup=None",
        "--set=train.clips.size=32",
        "--set=method=Ffn(frames: [2, 4])",
        "--set=eval.frames=[2, 4]",
    ];
    let steps: [&[&str]; 5] = [
        &["check", "mine.ron"],
        &["plan", "mine.ron"],
        &["data", "pin", "mine.ron", "--data-root", "clips"],
        &[
            "data",
            "show",
            "mine.ron",
            "--data-root",
            "clips",
            "--out",
            "sheets",
        ],
        &["run", "mine.ron", "--data-root", "clips"],
    ];
    for step in steps {
        let more: &[&str] = if step[0] == "run" { &short } else { &[] };
        let output = place.ffn(&[step, more].concat());
        expect(&output, 0);
        if step[0] == "run" {
            assert!(stdout(&output).contains("top-1"), "{}", stdout(&output));
        }
    }
}

#[test]
fn something_v2_goes_the_whole_way() {
    goes_the_whole_way(&clips::something_v2());
}

#[test]
fn frame_folders_go_the_whole_way() {
    goes_the_whole_way(&clips::frame_folders());
}

#[test]
fn class_folders_go_the_whole_way() {
    goes_the_whole_way(&clips::class_folders());
}

/// What the book's first page shows is what the program prints and writes.
#[test]
fn the_page_shows_what_is_written() {
    let place = clips::of_the_page();
    let from = ["--from", "ffn_tsm_miniature", "--data-root", "CLIPS"];
    let output = place.ffn(&[&["new", "mine"], &from[..]].concat());
    expect(&output, 0);
    let page = std::fs::read_to_string("book/src/first.md").unwrap();
    let file = std::fs::read_to_string(place.path().join("mine.ron")).unwrap();
    for (kind, text) in [("text", stdout(&output)), ("ron", file)] {
        let block = format!("```{kind}\n{text}```\n");
        assert!(
            page.contains(&block),
            "book/src/first.md should have\n{block}"
        );
    }
}
