//! The differences that have names, and what the fields of two experiments explain. Where a field acts first, and which
//! difference it is, stands at its declaration in [`crate::spec::experiment`].

use serde::Serialize;

use crate::spec::{Difference, Stage, setting};

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
pub const NAMED: [Named; 18] = [
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
    Named {
        subject: "Nesterov's momentum",
        text: "SlowFast: momentum 0.9",
        code: "Nesterov's, a default that no configuration states",
    },
    Named {
        subject: "decay of norms and biases",
        text: "UniFormer: weight decay 0.05",
        code: "none for parameters of one dimension: norms and biases",
    },
    Named {
        subject: "slow frames in training",
        text: "SlowFast: each clip's, spread over its own frames",
        code: "spread over the clips of all branches, laid end to end",
    },
    Named {
        subject: "head at larger images",
        text: "SlowFast: the mean of all positions",
        code: "the vanilla network: the mean of the probabilities of windows as large as in training; FFN: the mean of all positions",
    },
    Named {
        subject: "channel order",
        text: "not a word",
        code: "TSM, TEA, SlowFast: red, green, blue; UniFormer: blue, green, red, as OpenCV decodes",
    },
    Named {
        subject: "rule of resizing",
        text: "not a word",
        code: "TSM, TEA: Pillow's bilinear filter; SlowFast, UniFormer: PyTorch's, without antialiasing, of normalised values",
    },
    Named {
        subject: "crop in evaluation",
        text: "one crop, or three",
        code: "TSM, TEA: the centre; SlowFast and UniFormer with one crop: the left end",
    },
    Named {
        subject: "average over views",
        text: "not a word",
        code: "SlowFast: of probabilities; UniFormer: of logits",
    },
];

/// The first stage whose values a field can change.
pub fn acts_on(path: &str) -> Option<Stage> {
    setting::effect(path)?.stage
}

/// The named difference of a field.
pub fn named_difference(path: &str) -> Option<&'static Named> {
    let subject = setting::effect(path)?.named?;
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
    use super::*;

    /// What holds fields and is of one kind never differs itself.
    #[test]
    fn every_field_of_the_language_acts_somewhere_or_says_that_it_does_not() {
        for path in setting::paths() {
            let holder = ["train", "train.clips", "eval"].contains(&path.as_str());
            assert_eq!(setting::effect(path).is_none(), holder, "{path}");
        }
    }

    #[test]
    fn every_named_difference_has_a_field_and_every_name_a_sentence() {
        let paths = setting::paths();
        let effects = paths.iter().filter_map(|path| setting::effect(path));
        let subjects: Vec<&str> = effects.filter_map(|effect| effect.named).collect();
        for named in NAMED {
            assert!(subjects.contains(&named.subject), "{}", named.subject);
        }
        for subject in subjects {
            assert!(
                NAMED.iter().any(|named| named.subject == subject),
                "{subject}"
            );
        }
    }

    #[test]
    fn the_nearest_declaration_counts_and_only_whole_names() {
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
