//! Confidence in a share of clips.

/// The 97.5 % quantile of the standard normal distribution.
const Z: f64 = 1.959963984540054;

/// Wilson's 95 % interval of a share, in `[0, 1]`: (p̂ + z²/2n ± z·sqrt(p̂(1 − p̂)/n + z²/4n²)) / (1 + z²/n)
/// (Wilson 1927). Without clips it is `(0, 1)`: nothing is known.
pub fn wilson(right: usize, clips: usize) -> (f64, f64) {
    if clips == 0 {
        return (0.0, 1.0);
    }
    let n = clips as f64;
    let p = right.min(clips) as f64 / n;
    let centre = p + Z * Z / (2.0 * n);
    let reach = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    let (low, high) = ((centre - reach) / scale, (centre + reach) / scale);
    (low.clamp(0.0, p), high.clamp(p, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_is_as_tabulated() {
        // Newcombe (1998), table I: 81 of 263.
        let (low, high) = wilson(81, 263);
        assert!((low - 0.2553).abs() < 5e-5, "{low}");
        assert!((high - 0.3662).abs() < 5e-5, "{high}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    proptest! {
        #[test]
        fn the_share_is_inside(clips in 1usize..5000, part in 0.0f64..=1.0) {
            let right = (clips as f64 * part) as usize;
            let (low, high) = wilson(right, clips);
            let share = right as f64 / clips as f64;
            prop_assert!(0.0 <= low && low <= share && share <= high && high <= 1.0);
            let (more_low, more_high) = wilson(right * 10, clips * 10);
            prop_assert!(more_high - more_low < high - low, "more clips, more confidence");
        }
    }
}
