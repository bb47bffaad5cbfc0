//! Values → places, and the round numbers beside an axis.

/// A linear scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    /// Where `low` and `high` are drawn.
    from: f64,
    to: f64,
}

impl Scale {
    /// `low` is drawn at `from`, `high` at `to`. An empty range gets some room around it.
    pub fn new((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        let (low, high) = room(low, high);
        Self {
            low,
            high,
            from,
            to,
        }
    }

    /// The place of a value, always between the ends of the scale.
    pub fn place(&self, value: f64) -> f64 {
        // Halves: the difference of two large numbers may have no float.
        let part = (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0);
        let part = if part.is_nan() {
            0.0
        } else {
            part.clamp(0.0, 1.0)
        };
        self.from + part * (self.to - self.from)
    }

    /// Round numbers within the scale, about `count` of them, with their texts.
    pub fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        ticks(self.low, self.high, count)
    }
}

/// The least and the greatest finite value, `None` without any.
pub fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.into_iter().filter(|value| value.is_finite());
    finite.fold(None, |extent, value| match extent {
        None => Some((value, value)),
        Some((low, high)) => Some((low.min(value), high.max(value))),
    })
}

fn room(low: f64, high: f64) -> (f64, f64) {
    let (low, high) = match (low.is_finite(), high.is_finite()) {
        (true, true) if low <= high => (low, high),
        _ => (0.0, 1.0),
    };
    let span = high / 2.0 - low / 2.0;
    let least = f64::max(low.abs().max(high.abs()) * 1e-9, f64::MIN_POSITIVE * 1e16);
    match span > least {
        true => (low, high),
        false => {
            let around = f64::max(low.abs() * 0.1, 0.5).min(f64::MAX / 4.0);
            (
                (low - around).max(f64::MIN / 2.0),
                (high + around).min(f64::MAX / 2.0),
            )
        }
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn ticks(low: f64, high: f64, count: usize) -> Vec<(f64, String)> {
    let step = round_step((high / 2.0 - low / 2.0) / count.max(1) as f64 * 2.0);
    let first = (low / step).ceil();
    let last = (high / step * (1.0 + 1e-12)).floor();
    if !(first.is_finite() && last.is_finite()) || last - first > 1000.0 {
        return Vec::new();
    }
    let decimals = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
    let steps = (last - first).max(0.0) as usize;
    let tick = |index: usize| {
        let value = (first + index as f64) * step;
        (value, written(value, step, decimals))
    };
    (0..=steps).map(tick).collect()
}

fn written(value: f64, step: f64, decimals: usize) -> String {
    let text = match (1e-4..1e6).contains(&step) {
        true => format!("{value:.decimals$}"),
        false => format!("{value:e}"),
    };
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| "0.".contains(c)) => rest.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

/// The least of 1, 2, 5 times a power of ten that is at least `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let round = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    round
        .into_iter()
        .find(|&candidate| candidate >= step * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}
