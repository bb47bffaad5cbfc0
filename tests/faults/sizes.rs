//! Sizes that no machine has, and files that are mistakes from end to end.

use std::time::{Duration, Instant};

use crate::support::*;

/// The report of a file with mistakes, which must come soon.
#[track_caller]
fn mistakes(file: &str) -> String {
    let begun = Instant::now();
    let output = run(&["check", file]);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    expect(&output, 3);
    let message = stderr(&output);
    assert!(message.len() < 1 << 20, "{} bytes of report", message.len());
    message
}

#[test]
fn a_mistake_far_to_the_right_is_shown() {
    let place = Place::new();
    for blank in [" ", "\t"] {
        let text = format!("Suite(name: \"s\",{}membrs: [])", blank.repeat(70_000));
        let message = mistakes(&place.write("wide.ron", text));
        assert!(message.contains("did you mean `members`?"), "{message}");
        assert!(message.contains("wide.ron:1:70017"), "{message}");
    }
}

#[test]
fn long_names_numbers_and_texts_are_refused() {
    let place = Place::new();
    let long = "x".repeat(400_000);
    for (text, what) in [
        (format!("Suite({long}: 1)"), "a name of 400000 bytes"),
        (format!("Suite(name: \"{long}\")"), "a text of 400000 bytes"),
        (format!("Suite(name: 1{long})"), "a number of 400001 bytes"),
        (
            format!("{long}(name: 1, members: [])"),
            "a name of 400000 bytes",
        ),
    ] {
        let message = mistakes(&place.write("long.ron", text));
        assert!(message.contains(what), "{message}");
    }
}

#[test]
fn a_file_of_mistakes_alone_is_told_soon() {
    let place = Place::new();
    let experiment = place.experiment("tiny.ron", |text| text);
    let claim = "(id: \"c\", quantity: Gain(run: \"nobody\", over: \"noone\", frames: 7), is: AtLeast(1000)),";
    let order = format!(
        "(id: \"o\", quantity: Order(runs: [{}], frames: 3), is: AtLeast(0)),",
        "\"a\",".repeat(100_000)
    );
    let members = |claims: &str| {
        format!(
            "Suite(name: \"s\", members: [(name: \"a\", experiment: \"{experiment}\")], claims: [{claims}])"
        )
    };
    for text in [
        members(&claim.repeat(8000)),
        members(&order),
        ";".repeat(1_000_000),
        "Suite(".repeat(100_000),
        format!("Suite(members: [{}])", "x(y: z),".repeat(100_000)),
        format!("Suite({})", "abc: 1, ".repeat(100_000)),
        format!(
            "Suite(name: \"s\", members: [{}])",
            "(name: \"a\", experiment: \"none.ron\"),".repeat(20_000)
        ),
    ] {
        mistakes(&place.write("many.ron", text));
    }
}

#[test]
fn grids_and_seeds_have_a_bound() {
    let place = Place::new();
    let experiment = place.experiment("tiny.ron", |text| text);
    let numbers = |count: usize| {
        (1..=count)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    let list = numbers(64);
    let grid = format!(
        "(seed: [{list}], train: (epochs: [{list}], batch: [{list}]), optimizer: Sgd(lr: [{list}], momentum: [{list}]))"
    );
    let suite = |member: String| {
        format!(
            "Suite(name: \"s\", members: [(name: \"a\", experiment: \"{experiment}\", {member})])"
        )
    };
    let message = mistakes(&place.write("grid.ron", suite(format!("grid: {grid}"))));
    assert!(
        message.contains("a grid of 1073741824 combinations"),
        "{message}"
    );
    let message =
        mistakes(&place.write("seeds.ron", suite(format!("seeds: [{}]", numbers(100_000)))));
    assert!(
        message.contains("more seeds than anybody runs"),
        "{message}"
    );
}

#[test]
fn a_rule_does_not_compute_with_a_value_that_another_refuses() {
    let place = Place::new();
    for width in ["999999999999999", "18446744073709551615", "0"] {
        let path = place.experiment("w.ron", |text| {
            text.replace("width: 8", &format!("width: {width}"))
        });
        let message = mistakes(&path);
        assert!(
            message.contains("`width` must be from 1 to 1024"),
            "{message}"
        );
    }
    for (from, to) in [
        ("epochs: 4", "epochs: 18446744073709551615"),
        ("batch: 8", "batch: 18446744073709551615"),
        (
            "size: 24, frames: 12",
            "size: 18446744073709551615, frames: 18446744073709551615",
        ),
        ("[2, 4]", "[2, 18446744073709551615]"),
        (
            "blocks: [1, 1]",
            "blocks: [18446744073709551615, 18446744073709551615]",
        ),
    ] {
        mistakes(&place.experiment("m.ron", |text| text.replace(from, to)));
    }
}

#[test]
fn what_cannot_be_planned_is_no_experiment() {
    let place = Place::new();
    let all: Vec<String> = (1..=1024).map(|n| n.to_string()).collect();
    let path = place.experiment("e.ron", |text| {
        text.replace("[2, 4]", &format!("[{}]", all.join(",")))
    });
    for command in ["check", "plan"] {
        let output = run(&[command, &path]);
        expect(&output, 3);
        says(&output, "a program has at most");
    }
}

#[test]
fn the_deepest_network_is_planned_soon() {
    let place = Place::new();
    let path = place.experiment("deep.ron", |text| {
        text.replace("[1, 1]", "[100, 100, 100, 100, 100, 100]")
            .replace("Basic", "Bottleneck")
    });
    let begun = Instant::now();
    expect(&run(&["plan", &path]), 0);
    // Under a second in a release build on a quiet machine; it was a minute.
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn flags_have_bounds() {
    for arguments in [
        &["run", TINY, "--threads", "100000"][..],
        &["run", TINY, "--workers", "18446744073709551615"],
        &["bench", "train", TINY, "--batch", "18446744073709551615"],
        &[
            "golden",
            "record",
            TINY,
            "--steps",
            "18446744073709551615",
            "--out",
            "x",
        ],
        &[
            "data",
            "show",
            TINY,
            "--clips",
            "18446744073709551615",
            "--out",
            "x",
        ],
        &[
            "data",
            "frames",
            "fixtures/videos/png",
            "--first",
            "18446744073709551615",
        ],
        &[
            "predict",
            "runs/none",
            "video",
            "--top",
            "18446744073709551615",
        ],
    ] {
        let output = run(arguments);
        expect(&output, 2);
        says(&output, "expected a number from");
    }
}

#[test]
fn memory_that_is_not_there_is_an_error() {
    let place = Place::new();
    let folder = place.finished("r");
    let folder = folder.to_str().unwrap();
    let output = run(&[
        "eval",
        folder,
        "--frames",
        "1..1024",
        "--threads",
        "1",
        "--workers",
        "1",
    ]);
    assert!(
        matches!(output.status.code(), Some(0 | 7)),
        "{:?} {}",
        output.status,
        stderr(&output)
    );
}

#[test]
fn a_sparse_video_is_no_memory() {
    let place = Place::new();
    let start = std::fs::read("fixtures/videos/even.webm").unwrap();
    let path = place.write("s.webm", &start[..400]);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(6 << 30).unwrap();
    let output = run(&["data", "frames", &path]);
    assert!(
        matches!(output.status.code(), Some(4 | 7)),
        "{:?} {}",
        output.status,
        stderr(&output)
    );
}
