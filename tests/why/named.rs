//! Each difference between paper and official code is found: by its field, by its name, and by its first effect.

use crate::support::*;

/// Two experiments that differ in one named difference alone.
struct Case {
    subject: &'static str,
    /// What both have that the tiny experiment has not.
    both: &'static [(&'static str, &'static str)],
    change: (&'static str, &'static str),
    /// Of the first effect the stage, and how its place begins.
    effect: (&'static str, &'static str),
}

fn check(case: &Case) {
    let place = place();
    let place = place.path();
    vary(place, "a.ron", "a.ron", case.both);
    vary(place, "a.ron", "b.ron", &[case.change]);
    let (code, report) = why(place, &["a.ron", "b.ron"]);
    assert_eq!(code, 1);
    let found = report.differing();
    let [(first, field), (stage, effect)] = found.as_slice() else {
        panic!("a cause and an effect, found {found:?}");
    };
    assert_eq!(first, "experiment");
    assert_eq!(field["named"]["subject"], case.subject);
    assert_eq!(stage, case.effect.0);
    let at = effect["place"].as_str().unwrap();
    assert!(at.starts_with(case.effect.1), "{at}");
    assert_ne!(effect["a"], effect["b"]);
    let path = field["place"].as_str().unwrap();
    assert_eq!(report.explanation(), format!("it follows from {path}"));
    // The book shows each of them.
    let page = include_str!("../../book/src/why.md");
    assert!(page.contains(case.subject) && page.contains(case.effect.1));
}

const FFN: &str = "Ffn(frames: [2, 4]";

#[test]
fn shift_in_training() {
    check(&Case {
        subject: "shift in training",
        both: &[],
        change: (FFN, "Ffn(frames: [2, 4], shift_segments: Shared(4)"),
        effect: ("activations", "base_model.layer1.0.shift at 2 frames"),
    });
}

#[test]
fn initial_weights_of_the_alteration() {
    check(&Case {
        subject: "alteration's initial weights",
        both: &[],
        change: (FFN, "Ffn(frames: [2, 4], alteration: KaimingFanOut"),
        effect: (
            "initial_weights",
            "base_model.layer1.0.adaconv_2.weight[0, 0, 0, 0]",
        ),
    });
}

/// The official code's clipping, which mixed precision switches off, at a norm that the tiny model reaches.
#[test]
fn gradient_clipping() {
    check(&Case {
        subject: "gradient clipping",
        both: &[
            ("precision: Float32", "precision: Mixed"),
            (
                "Sgd(lr: 0.02",
                "Sgd(lr: 0.02, clip: (norm: 0.1, under_mixed: true)",
            ),
        ],
        change: ("under_mixed: true", "under_mixed: false"),
        effect: ("optimizer", "factor of the clipping"),
    });
}

#[test]
fn learning_rates() {
    check(&Case {
        subject: "learning rates",
        both: &[],
        change: (
            "Sgd(lr: 0.02",
            "Sgd(lr: 0.02, groups: (classifier_weight: (lr: 1.0, decay: 1.0))",
        ),
        effect: ("optimizer", "learning rate of new_fc.weight"),
    });
}

#[test]
fn frames_of_the_branches() {
    check(&Case {
        subject: "frames of the branches",
        both: &[],
        change: ("clips: (", "clips: (branches: Independent, "),
        effect: ("frame_indices", "clip `8`, branch of 2 frames"),
    });
}

#[test]
fn frames_in_training() {
    check(&Case {
        subject: "frames in training",
        both: &[],
        change: ("clips: (", "clips: (sampling: SegmentCentre, "),
        effect: ("frame_indices", "clip `8`, branch of 2 frames"),
    });
}

#[test]
fn direction_of_the_divergence() {
    check(&Case {
        subject: "direction of the divergence",
        both: &[],
        change: (FFN, "Ffn(frames: [2, 4], distillation: Reversed"),
        effect: ("loss", "kl.2"),
    });
}

#[test]
fn schedule() {
    check(&Case {
        subject: "schedule and batch",
        both: &[],
        change: (
            "shape: Cosine(last: 0.1)",
            "shape: MultiStep(milestones: [2], gamma: 0.1)",
        ),
        effect: ("schedule", "learning rate of step 1"),
    });
}

#[test]
fn batch() {
    check(&Case {
        subject: "schedule and batch",
        both: &[],
        change: ("batch: 8,", "batch: 4,"),
        effect: ("sample_order", "clip 4"),
    });
}

#[test]
fn clips_that_share_their_statistics() {
    check(&Case {
        subject: "schedule and batch",
        both: &[],
        change: ("batch: 8,", "batch: 8, norm_clips: 4,"),
        effect: ("activations", "base_model.bn1 at 2 frames"),
    });
}

#[test]
fn place_of_the_shift() {
    check(&Case {
        subject: "place of the shift",
        both: &[],
        change: (
            "init: Random",
            "init: Random, shift: (place: AfterFirstConv)",
        ),
        effect: ("activations", "base_model.layer1.0.shift at 2 frames"),
    });
}

/// The tiny clips have 12 frames: at 12 they are short.
#[test]
fn short_videos_in_evaluation() {
    check(&Case {
        subject: "short videos in evaluation",
        both: &[
            (FFN, "Ffn(frames: [2, 6]"),
            ("frames: [2, 3, 4]", "frames: [4, 12]"),
        ],
        change: ("eval: (", "eval: (short_videos: FirstFrame, "),
        effect: ("evaluation_frames", "clip `25` at 12 frames"),
    });
}

/// A shift that is nowhere leaves no node to compare.
#[test]
fn a_node_that_one_side_lacks() {
    let place = place();
    let place = place.path();
    vary(
        place,
        "a.ron",
        "b.ron",
        &[("init: Random", "init: Random, shift: (place: Nowhere)")],
    );
    for (sides, values) in [
        (["a.ron", "b.ron"], ["a node", "no such node"]),
        (["b.ron", "a.ron"], ["no such node", "a node"]),
    ] {
        let (code, report) = why(place, &sides);
        let found = report.differing();
        let (stage, effect) = found.last().unwrap();
        assert_eq!((code, stage.as_str()), (1, "activations"));
        assert_eq!(effect["place"], "base_model.layer1.0.shift");
        assert_eq!([&effect["a"], &effect["b"]], values);
    }
}

#[test]
fn what_a_person_reads() {
    let place = place();
    let place = place.path();
    vary(
        place,
        "a.ron",
        "b.ron",
        &[(FFN, "Ffn(frames: [2, 4], shift_segments: Shared(4)")],
    );
    let output = ffn_in(place, &["why", "a.ron", "b.ron"]);
    expect(&output, 1);
    insta::assert_snapshot!("shift_in_training", redacted(&stdout(&output)));
    let output = ffn_in(place, &["why", "a.ron", "a.ron", "--steps", "2"]);
    expect(&output, 0);
    insta::assert_snapshot!("nothing_differs", redacted(&stdout(&output)));
}
