//! How numbers are written, everywhere in the same way.

/// `87.19 %`
pub fn percent(value: f64) -> String {
    format!("{value:.2} %")
}

/// A difference of percentages: `41.56 points`.
pub fn points(value: f64) -> String {
    format!("{value:.2} points")
}

/// Billions with about three digits: `0.018`, `1.82`, `32.7`.
pub fn giga(value: f64) -> String {
    match value {
        ..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        _ => format!("{value:.1}"),
    }
}

/// 1234567 → 1,234,567
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let from_end = |at: usize| digits.len() - at;
    let separated = digits.char_indices().flat_map(|(at, digit)| {
        let comma = (at > 0 && from_end(at).is_multiple_of(3)).then_some(',');
        comma.into_iter().chain([digit])
    });
    separated.collect()
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn thousands_are_separated() {
        let written = [0, 999, 1000, 24_010_158].map(thousands);
        assert_eq!(written, ["0", "999", "1,000", "24,010,158"]);
    }
}
