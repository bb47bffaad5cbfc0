//! What a results page may not hold: a figure that somebody typed.
//!
//! A figure is, outside references, quotations, code and what nobody reads:
//! - a number with a decimal point: `41.56`;
//! - a number before one of [`UNITS`]: `42 points`, `320 clips`, `87 %`.
//!
//! Whole numbers without a unit stay free, since they mostly set something: 4 frames, three seeds, equation 4. Fenced
//! blocks count as prose unless they name a language other than `text`: output is where figures get pasted.

use std::ops::Range;

use super::markdown::{Part, parts};

/// Units of what a run measures. A number before one of them is a result.
pub const UNITS: [&str; 26] = [
    "%",
    "‰",
    "percent",
    "point",
    "points",
    "pp",
    "clip",
    "clips",
    "parameters",
    "GFLOPs",
    "GFLOP/s",
    "FLOPs",
    "multiply-adds",
    "ns",
    "µs",
    "ms",
    "s",
    "seconds",
    "minutes",
    "min",
    "hours",
    "MB",
    "GB",
    "MiB",
    "GiB",
    "fps",
];

/// Where the typed figures of a page are.
pub fn typed(text: &str) -> Vec<Range<usize>> {
    let parts = parts(text).into_iter();
    let read = parts.filter(|(part, _)| matches!(part, Part::Prose | Part::Fence("" | "text")));
    let mut found = Vec::new();
    for (_, range) in read {
        let start = range.start;
        let part = text.get(range).unwrap_or_default();
        found.extend(figures(part).map(|at| start + at.start..start + at.end));
    }
    found
}

fn figures(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    numbers(text).filter_map(|number| {
        let digits = text.get(number.clone())?;
        let decimal = digits.contains('.');
        match unit(text.get(number.end..)?) {
            Some(length) => Some(number.start..number.end + length),
            None => decimal.then_some(number),
        }
    })
}

/// Digits with points and commas between them, which are no part of a word such as `bn1_4` or `1x`.
fn numbers(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + text.get(at..)?.find(|c: char| c.is_ascii_digit())?;
            let rest = text.get(start..)?;
            let length = rest
                .find(|c: char| !c.is_ascii_digit() && !['.', ','].contains(&c))
                .unwrap_or(rest.len());
            at = start + length;
            let number = rest.get(..length)?.trim_end_matches(['.', ',']);
            let before = text.get(..start)?.chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.') {
                return Some(start..start + number.len());
            }
        }
    })
}

/// The length of a unit after a number, with the space before it.
fn unit(after: &str) -> Option<usize> {
    let word = after.trim_start_matches([' ', '\u{a0}', '\u{202f}', '-']);
    let length = word
        .find(|c: char| !c.is_alphanumeric() && !['%', '‰', '/', '-'].contains(&c))
        .unwrap_or(word.len());
    let word = word.get(..length)?;
    UNITS.contains(&word).then_some(
        after.len()
            - after
                .trim_start_matches([' ', '\u{a0}', '\u{202f}', '-'])
                .len()
            + length,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        typed(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn figures_are_decimals_and_numbers_with_units() {
        let cases: [(&str, &[&str]); 9] = [
            ("It reaches 41.56 at 4 frames.", &["41.56"]),
            (
                "a gap of 42 points, 87 % and 87%",
                &["42 points", "87 %", "87%"],
            ),
            ("320 clips in 12,5 minutes", &["320 clips", "12,5 minutes"]),
            ("a 20-point gap", &["20-point"]),
            ("```text\ntop-1 45.94 %\n```\n", &["45.94 %"]),
            ("| 4 | 61.02 |", &["61.02"]),
            ("equation 4, at 16 frames, 3 seeds, bn1_4.5, H264", &[]),
            ("`0.5` {{top1 a 4}} <a href=\"1.5\"> [x](1.5.md)", &[]),
            ("```ron\nlr: 0.02\n```\n<!-- 1.5 % -->", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn the_end_of_a_sentence_is_no_decimal() {
        assert_eq!(found("at 4. Then 8, and 16."), [""; 0]);
    }
}
