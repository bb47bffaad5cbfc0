//! Times as Slurm writes them: `90`, `8:00:00`, `2-12`.

/// Seconds of a time limit; `None` where it is none. Forms: minutes, minutes:seconds, hours:minutes:seconds, days-hours,
/// days-hours:minutes, days-hours:minutes:seconds.
pub fn seconds(text: &str) -> Option<u64> {
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(number(days)?), rest),
        None => (None, text),
    };
    let fields: Option<Vec<u64>> = rest.split(':').map(number).collect();
    let clock = match (days, fields?.as_slice()) {
        (None, [minutes]) => [0, *minutes, 0],
        (None, [minutes, seconds]) => [0, *minutes, *seconds],
        (_, [hours, minutes, seconds]) => [*hours, *minutes, *seconds],
        (Some(_), [hours, minutes]) => [*hours, *minutes, 0],
        (Some(_), [hours]) => [*hours, 0, 0],
        _ => return None,
    };
    let [hours, minutes, seconds] = clock;
    let total = days.unwrap_or(0) * 86_400 + hours * 3600 + minutes * 60 + seconds;
    (total > 0).then_some(total)
}

/// Far below what would overflow above, and far above any time limit.
fn number(text: &str) -> Option<u64> {
    const MOST: u64 = 10_000_000;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.filter(|number| *number <= MOST)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn every_form_of_slurm() {
        for (text, expected) in [
            ("90", Some(5400)),
            ("1:30", Some(90)),
            ("8:00:00", Some(28_800)),
            ("2-12", Some(216_000)),
            ("1-0:30", Some(88_200)),
            ("1-01:00:01", Some(90_001)),
            ("0", None),
            ("", None),
            ("8h", None),
            ("1:2:3:4", None),
            ("-5", None),
            ("1-", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
