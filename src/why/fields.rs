//! The fields of the language by where they act first, and the differences that have names.

use serde::Serialize;

use super::stage::Stage;
use crate::spec::Difference;

/// A difference between the paper, the official code and people's reproductions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Named {
    pub subject: &'static str,
    /// What the paper or another text says.
    pub text: &'static str,
    /// What the official code does.
    pub code: &'static str,
}

/// The differences that the papers do not tell.
pub const NAMED: [Named; 10] = [
    Named {
        subject: "shift in training",
        text: "inside each clip",
        code: "every branch in groups of 16 frames, across clips for 4 and 8",
    },
    Named {
        subject: "alteration's initial weights",
        text: "near zero, std 1e-3",
        code: "overwritten afterwards by Kaiming fan-out, std sqrt(2 / C)",
    },
    Named {
        subject: "gradient clipping",
        text: "applied, at 20",
        code: "never under mixed precision, which its scripts use",
    },
    Named {
        subject: "learning rates",
        text: "one",
        code: "classifier weight × 5, classifier bias × 10; batch norm without decay",
    },
    Named {
        subject: "frames of the branches",
        text: "from one clip",
        code: "an independent draw for each branch",
    },
    Named {
        subject: "frames in training",
        text: "a reproduction: the centre of each segment",
        code: "a random frame of each segment",
    },
    Named {
        subject: "direction of the divergence",
        text: "a later report writes KL(p_small ‖ p_large)",
        code: "KL(p_large ‖ p_small), as equation 4: the teacher's probabilities weigh",
    },
    Named {
        subject: "schedule and batch",
        text: "an earlier guide: cosine, 8 clips a GPU",
        code: "steps at epochs 20 and 40, 32 clips over two GPUs (norms see 16)",
    },
    Named {
        subject: "place of the shift",
        text: "a later report: after the first convolution",
        code: "on the input of the first convolution of the residual branch",
    },
    Named {
        subject: "short videos in evaluation",
        text: "not a word",
        code: "a video with at most T frames gives its first frame T times",
    },
];

/// What the language's fields do.
struct Field {
    /// A field or the beginning of its path.
    path: &'static str,
    /// The first stage whose values it can change; `None`: no computed value depends on it.
    acts_on: Option<Stage>,
    /// Subject of the named difference.
    named: Option<&'static str>,
}

const fn field(path: &'static str, stage: Stage) -> Field {
    Field {
        path,
        acts_on: Some(stage),
        named: None,
    }
}

const fn named(path: &'static str, stage: Stage, subject: &'static str) -> Field {
    Field {
        path,
        acts_on: Some(stage),
        named: Some(subject),
    }
}

const fn idle(path: &'static str) -> Field {
    Field {
        path,
        acts_on: None,
        named: None,
    }
}

/// Of several that fit, the longest counts.
const FIELDS: [Field; 40] = [
    idle("name"),
    field("seed", Stage::SampleOrder),
    field("model", Stage::InitialWeights),
    field("model.shift.div", Stage::Activations),
    named(
        "model.shift.place",
        Stage::Activations,
        "place of the shift",
    ),
    field("model.dropout", Stage::Activations),
    field("method", Stage::FrameIndices),
    field("method.lambda", Stage::Loss),
    named(
        "method.alteration",
        Stage::InitialWeights,
        "alteration's initial weights",
    ),
    field("method.norms", Stage::InitialWeights),
    named(
        "method.distillation",
        Stage::Loss,
        "direction of the divergence",
    ),
    named(
        "method.shift_segments",
        Stage::Activations,
        "shift in training",
    ),
    field("data", Stage::Data),
    field("train.epochs", Stage::Schedule),
    named("train.batch", Stage::SampleOrder, "schedule and batch"),
    field("train.precision", Stage::Activations),
    named("train.norm_clips", Stage::Activations, "schedule and batch"),
    field("train.frozen_norms", Stage::Activations),
    named(
        "train.clips.sampling",
        Stage::FrameIndices,
        "frames in training",
    ),
    named(
        "train.clips.branches",
        Stage::FrameIndices,
        "frames of the branches",
    ),
    field("train.clips.short_videos", Stage::FrameIndices),
    field("train.clips.crop", Stage::Augmentation),
    field("train.clips.flip", Stage::Augmentation),
    field("train.clips.size", Stage::Augmentation),
    field("train.clips.normalize", Stage::Activations),
    field("optimizer", Stage::Optimizer),
    field("optimizer.lr", Stage::Optimizer),
    named("optimizer.clip", Stage::Optimizer, "gradient clipping"),
    named("optimizer.groups", Stage::Optimizer, "learning rates"),
    named("schedule", Stage::Schedule, "schedule and batch"),
    named("schedule.warmup", Stage::Optimizer, "schedule and batch"),
    field("eval.frames", Stage::EvaluationFrames),
    field("eval.sampling", Stage::EvaluationFrames),
    named(
        "eval.short_videos",
        Stage::EvaluationFrames,
        "short videos in evaluation",
    ),
    field("eval.crops", Stage::EvaluationPixels),
    field("eval.short_side", Stage::EvaluationPixels),
    field("eval.size", Stage::EvaluationPixels),
    field("eval.normalize", Stage::EvaluationLogits),
    idle("eval.batch"),
    idle("eval.every"),
];

/// The entry of a field.
fn entry(path: &str) -> Option<&'static Field> {
    let begins = |field: &&Field| {
        let rest = path.strip_prefix(field.path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    FIELDS.iter().filter(begins).max_by_key(|f| f.path.len())
}

/// The first stage whose values a field can change.
pub fn acts_on(path: &str) -> Option<Stage> {
    entry(path)?.acts_on
}

/// The named difference of a field.
pub fn named_difference(path: &str) -> Option<&'static Named> {
    let subject = entry(path)?.named?;
    NAMED.iter().find(|named| named.subject == subject)
}

/// The paths that are no part of another one: `schedule.shape` stands for `schedule.shape.last`.
pub fn roots<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut roots: Vec<&str> = Vec::new();
    for path in paths {
        let within = |root: &&str| {
            let rest = path.strip_prefix(root);
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        if !roots.iter().any(within) {
            roots.push(path);
        }
    }
    roots
}

/// Of the fields that differ those that explain an effect: what acts first where it was seen, else what acts before it,
/// else all that act on anything.
pub fn explaining(fields: &[Difference], effect: Stage) -> Vec<&Difference> {
    let tests: [fn(Stage, Stage) -> bool; 3] = [
        |acts, seen| acts == seen,
        |acts, seen| acts < seen,
        |_, _| true,
    ];
    let acting = |test: &fn(Stage, Stage) -> bool| -> Vec<&Difference> {
        let acts = |field: &&Difference| acts_on(&field.path).is_some_and(|on| test(on, effect));
        fields.iter().filter(acts).collect()
    };
    let mut found = tests.iter().map(acting);
    found.find(|fields| !fields.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::spec;

    fn experiment(name: &str) -> spec::Experiment {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
        spec::load(&folder.join(name)).unwrap().experiment
    }

    /// Every path of the canonical form: all differ from those of another kind of experiment, or are in both.
    #[test]
    fn every_field_of_the_language_has_an_entry() {
        let names = [
            "ffn_tsm_sthv2.ron",
            "ffn_tsm_sthv2_official.ron",
            "ffn_tsm_k400_official.ron",
            "tsm_miniature.ron",
        ];
        for name in names {
            let paths = spec::fields(&experiment(name)).into_iter();
            // What holds fields and is of one kind never differs itself.
            for path in
                paths.filter(|path| !["train", "train.clips", "eval"].contains(&path.as_str()))
            {
                assert!(entry(&path).is_some(), "{path}");
            }
        }
    }

    #[test]
    fn every_named_difference_has_a_field_and_every_name_a_sentence() {
        for named in NAMED {
            let has = |field: &&Field| field.named == Some(named.subject);
            assert!(FIELDS.iter().any(|f| has(&f)), "{}", named.subject);
        }
        for field in FIELDS.iter().filter(|field| field.named.is_some()) {
            assert!(named_difference(field.path).is_some(), "{}", field.path);
        }
    }

    #[test]
    fn the_longest_entry_counts_and_only_whole_names() {
        assert_eq!(acts_on("optimizer.clip.norm"), Some(Stage::Optimizer));
        assert_eq!(acts_on("model.dropout"), Some(Stage::Activations));
        assert_eq!(acts_on("model.drop"), Some(Stage::InitialWeights));
        assert_eq!(acts_on("eval.batch"), None);
        assert_eq!(acts_on("nothing"), None);
    }

    #[test]
    fn a_part_goes_with_its_whole() {
        let paths = ["schedule.shape", "schedule.shape.last", "schedule.shapes"];
        assert_eq!(
            roots(paths.into_iter()),
            ["schedule.shape", "schedule.shapes"]
        );
    }

    #[test]
    fn what_acts_where_the_effect_is_explains_it() {
        let difference = |path: &str| Difference {
            path: path.to_owned(),
            before: None,
            after: None,
        };
        let fields = ["seed", "method.lambda", "eval.batch", "schedule.shape"].map(difference);
        let found = |stage| -> Vec<&str> {
            let found = explaining(&fields, stage);
            found.iter().map(|field| field.path.as_str()).collect()
        };
        assert_eq!(found(Stage::Loss), ["method.lambda"]);
        assert_eq!(found(Stage::Pixels), ["seed"]);
        assert_eq!(
            found(Stage::Data),
            ["seed", "method.lambda", "schedule.shape"]
        );
    }
}
