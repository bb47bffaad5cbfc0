//! A suite's claims in the words of a table.

use super::numbers::{giga, thousands};
use crate::suite::{Judged, Unit};

/// Of [`row`].
pub const HEADER: [&str; 5] = ["claim", "verdict", "measured", "interval", "source"];

/// Where the verdict is in [`row`].
pub const VERDICT: usize = 1;

/// The cells of a claim. What is expected stands in its sentence.
pub fn row(judged: &Judged) -> Vec<String> {
    vec![
        judged.sentence.clone(),
        judged.verdict.name().to_owned(),
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

/// The interval with its level: `[36.25, 47.00] at 95 %`; empty where there is none.
pub fn interval(judged: &Judged) -> String {
    match judged.interval {
        Some([low, high]) => format!(
            "[{}, {}] at {} %",
            number(low, judged.unit),
            number(high, judged.unit),
            100.0 * judged.level
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
