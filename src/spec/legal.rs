//! Which values of one field are legal, whatever the others are.

use std::fmt;
use std::ops::{Bound, RangeInclusive};

use super::rules::Findings;

#[derive(Clone)]
pub enum Legal {
    Whole(RangeInclusive<usize>),
    Number(Bound<f64>, Bound<f64>),
    Text(&'static Text),
}

/// What a text must be.
pub struct Text {
    /// After "text, ".
    pub words: &'static str,
    /// Reports an illegal value of the field with this path.
    pub check: fn(&mut Findings, &str, &str),
}

/// Above zero, at most `most`.
pub fn above_zero(most: f64) -> (Bound<f64>, Bound<f64>) {
    (Bound::Excluded(0.0), Bound::Included(most))
}

/// `from 1 to 8`, `in [0, 1)`.
impl fmt::Display for Legal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(range) => write!(f, "from {} to {}", range.start(), range.end()),
            Self::Number(start, end) => write!(f, "in {}", interval(*start, *end)),
            Self::Text(text) => f.write_str(text.words),
        }
    }
}

/// `[0, 1)` and the like.
pub fn interval(start: Bound<f64>, end: Bound<f64>) -> String {
    let start = match start {
        Bound::Included(least) => format!("[{least}"),
        Bound::Excluded(least) => format!("({least}"),
        Bound::Unbounded => "(-∞".into(),
    };
    let end = match end {
        Bound::Included(most) => format!("{most}]"),
        Bound::Excluded(most) => format!("{most})"),
        Bound::Unbounded => "∞)".into(),
    };
    format!("{start}, {end}")
}
