//! A suite's claims in the words of a table.

use super::numbers::{giga, thousands};
use crate::suite::bootstrap::LEVEL;
use crate::suite::{Judged, Unit};

/// Of [`row`].
pub const HEADER: [&str; 5] = ["claim", "verdict", "measured", INTERVAL, "source"];

/// Head of a column of [`interval`]s: over clips and seeds.
pub const INTERVAL: &str = "95 % interval";
const _: () = assert!(LEVEL == 0.95);

/// Where the verdict is in [`row`].
pub const VERDICT: usize = 1;

/// The cells of a claim. What is expected stands in its sentence.
pub fn row(judged: &Judged) -> Vec<String> {
    vec![
        judged.sentence.clone(),
        judged.verdict.word().to_owned(),
        value(judged),
        interval(judged),
        judged.source.clone().unwrap_or_default(),
    ]
}

/// What was measured, or why nothing was.
pub fn value(judged: &Judged) -> String {
    match (judged.value, &judged.reason) {
        (Some(value), _) => amount(value, judged.unit),
        (None, Some(reason)) => reason.clone(),
        (None, None) => "–".to_owned(),
    }
}

/// `[36.25, 47.00]`; empty where there is none.
pub fn interval(judged: &Judged) -> String {
    match judged.interval {
        Some([low, high]) => format!(
            "[{}, {}]",
            number(low, judged.unit),
            number(high, judged.unit)
        ),
        None => String::new(),
    }
}

fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Percent | Unit::Points => format!("{value:.2}"),
        Unit::GigaMultiplyAdds => giga(value),
        Unit::Parameters => thousands(value as u64),
    }
}

fn amount(value: f64, unit: Unit) -> String {
    let unit_name = match unit {
        Unit::Percent => "%",
        Unit::Points => "points",
        Unit::Parameters => "parameters",
        Unit::GigaMultiplyAdds => "G multiply-adds",
    };
    format!("{} {unit_name}", number(value, unit))
}
