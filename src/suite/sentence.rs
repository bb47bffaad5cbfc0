//! Claims and findings in words.

use crate::spec::suite::{Bound, Claim, Quantity};

/// What was measured of a quantity, as a sentence without a full stop.
pub fn finding(quantity: &Quantity, value: f64) -> String {
    let points = |value: f64| format!("{:.2} points", value.abs());
    match quantity {
        Quantity::Top1 { run, frames } => format!("{run} has {value:.2} % at {frames} frames"),
        Quantity::Gap { run, from, to } => {
            let verb = if value < 0.0 { "gains" } else { "loses" };
            format!("{run} {verb} {} from {from} to {to} frames", points(value))
        }
        Quantity::Gain { run, over, frames } => {
            let relation = if value < 0.0 { "behind" } else { "ahead of" };
            let points = points(value);
            format!("{run} is {points} {relation} {over} at {frames} frames")
        }
        Quantity::Order { runs, frames } => format!(
            "{} at {frames} frames: the smallest step is {value:.2} points",
            runs.join(" over ")
        ),
        Quantity::MeanTop1 { runs, frames } => {
            let runs = runs.join(", ");
            format!("{runs} have {value:.2} % on average at {frames} frames")
        }
        Quantity::MeanGain { runs, over, frames } => {
            let relation = if value < 0.0 { "behind" } else { "ahead of" };
            let (runs, over, points) = (runs.join(", "), over.join(", "), points(value));
            format!("{runs} are on average {points} {relation} {over} at {frames} frames")
        }
        Quantity::Parameters { run } => format!("{run} has {value} parameters"),
        Quantity::Flops { run, frames } => {
            format!("{run} takes {value:.2} G multiply-adds at {frames} frames")
        }
    }
}

/// The claim as a sentence without a full stop.
pub fn sentence(claim: &Claim) -> String {
    let (subject, unit) = match &claim.quantity {
        Quantity::Top1 { run, frames } => (format!("top-1 of {run} at {frames} frames"), " %"),
        Quantity::Gap { run, from, to } => {
            let subject = format!("the gap of {run} from {from} to {to} frames");
            (subject, " points")
        }
        Quantity::Gain { run, over, frames } => {
            let subject = format!("the gain of {run} over {over} at {frames} frames");
            (subject, " points")
        }
        Quantity::Order { runs, frames } => {
            let order = runs.join(" over ");
            let subject = format!("each gain of {order} at {frames} frames");
            (subject, " points")
        }
        Quantity::MeanTop1 { runs, frames } => {
            let subject = format!("the mean top-1 of {} at {frames} frames", runs.join(", "));
            (subject, " %")
        }
        Quantity::MeanGain { runs, over, frames } => {
            let (runs, over) = (runs.join(", "), over.join(", "));
            let subject = format!("the mean gain of {runs} over {over} at {frames} frames");
            (subject, " points")
        }
        Quantity::Parameters { run } => (format!("the parameter count of {run}"), ""),
        Quantity::Flops { run, frames } => {
            let subject = format!("one view of {frames} frames through {run}");
            (subject, " G multiply-adds")
        }
    };
    format!("{subject} is {}{unit}", bound(claim.is))
}

/// What a quantity is said to be, without its unit.
pub fn bound(bound: Bound) -> String {
    match bound {
        Bound::AtLeast(value) => format!("at least {value}"),
        Bound::AtMost(value) => format!("at most {value}"),
        Bound::About {
            value,
            tolerance: 0.0,
        } => format!("{value}"),
        Bound::About { value, tolerance } => format!("{value} ± {tolerance}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_who_is_ahead() {
        let gap = Quantity::Gap {
            run: "tsm".to_owned(),
            from: 16,
            to: 4,
        };
        assert_eq!(
            finding(&gap, 54.271),
            "tsm loses 54.27 points from 16 to 4 frames"
        );
        assert_eq!(
            finding(&gap, -1.0),
            "tsm gains 1.00 points from 16 to 4 frames"
        );
        let gain = Quantity::Gain {
            run: "ffn".to_owned(),
            over: "tsm".to_owned(),
            frames: 4,
        };
        assert_eq!(
            finding(&gain, 2.0),
            "ffn is 2.00 points ahead of tsm at 4 frames"
        );
        assert_eq!(
            finding(&gain, -0.1),
            "ffn is 0.10 points behind tsm at 4 frames"
        );
    }

    #[test]
    fn every_quantity_has_its_sentence() {
        let run = || "ffn".to_owned();
        let over = || "tsm".to_owned();
        let frames = 4;
        let about = Bound::About {
            value: 31.5,
            tolerance: 2.0,
        };
        let cases = [
            (Quantity::Top1 { run: run(), frames }, about),
            (
                Quantity::Gap {
                    run: over(),
                    from: 16,
                    to: 4,
                },
                Bound::AtLeast(20.0),
            ),
            (
                Quantity::Gain {
                    run: run(),
                    over: over(),
                    frames,
                },
                Bound::AtMost(20.0),
            ),
            (
                Quantity::Order {
                    runs: vec![run(), over()],
                    frames,
                },
                Bound::AtLeast(0.0),
            ),
            (
                Quantity::Parameters { run: run() },
                Bound::About {
                    value: 24_010_158.0,
                    tolerance: 0.0,
                },
            ),
            (Quantity::Flops { run: run(), frames }, about),
        ];
        let sentences = cases.map(|(quantity, is)| {
            let (id, source) = (String::new(), None);
            sentence(&Claim {
                id,
                quantity,
                is,
                source,
            })
        });
        assert_eq!(
            sentences,
            [
                "top-1 of ffn at 4 frames is 31.5 ± 2 %",
                "the gap of tsm from 16 to 4 frames is at least 20 points",
                "the gain of ffn over tsm at 4 frames is at most 20 points",
                "each gain of ffn over tsm at 4 frames is at least 0 points",
                "the parameter count of ffn is 24010158",
                "one view of 4 frames through ffn is 31.5 ± 2 G multiply-adds",
            ]
        );
    }
}
