//! Where two lists of observed tensors part: an engine held against another, or a run against a run.

use std::fmt;

use super::Observation;

/// The first place at which two lists part.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    /// The lists do not hold the same tensors: `None` where one of them has ended.
    Layout {
        found: Option<Place>,
        expected: Option<Place>,
    },
    /// The same tensor with other values.
    Values {
        place: Place,
        /// Relative L2 error over the tensor: ‖found − expected‖ / ‖expected‖.
        error: f64,
        /// Where the values are furthest apart, and both of them there.
        index: Vec<usize>,
        found: f32,
        expected: f32,
    },
}

/// A tensor without its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    pub node: String,
    pub frames: usize,
    pub shape: Vec<usize>,
}

impl Place {
    fn of(observation: &Observation) -> Self {
        Self {
            node: observation.node.clone(),
            frames: observation.frames,
            shape: observation.shape.clone(),
        }
    }
}

/// The first of the tensors whose relative L2 error is above what `tolerance` says of the expected one, or that is not
/// there on both sides. Values that are no numbers are a difference wherever they stand; with a tolerance of 0, so is
/// every other bit but the sign of a zero.
pub fn first_difference(
    found: &[Observation],
    expected: &[Observation],
    tolerance: impl Fn(&Observation) -> f64,
) -> Option<Difference> {
    let longer = found.len().max(expected.len());
    (0..longer).find_map(|i| match (found.get(i), expected.get(i)) {
        (Some(f), Some(e)) if Place::of(f) == Place::of(e) => values(f, e, tolerance(e)),
        (f, e) => Some(Difference::Layout {
            found: f.map(Place::of),
            expected: e.map(Place::of),
        }),
    })
}

fn values(found: &Observation, expected: &Observation, tolerance: f64) -> Option<Difference> {
    let error = relative_error(&found.values, &expected.values);
    if error <= tolerance {
        return None;
    }
    let index = furthest(&found.values, &expected.values);
    let value = |of: &Observation| of.values.get(index).copied().unwrap_or(f32::NAN);
    Some(Difference::Values {
        place: Place::of(expected),
        error,
        index: coordinates(index, &expected.shape),
        found: value(found),
        expected: value(expected),
    })
}

/// Where two tensors are furthest apart; what is not a number is further than any number.
pub fn furthest(a: &[f32], b: &[f32]) -> usize {
    let distance = |(a, b): (&f32, &f32)| match (a - b).abs() {
        distance if distance.is_nan() => f32::INFINITY,
        distance => distance,
    };
    let distances = a.iter().zip(b).map(distance).enumerate();
    let furthest = distances.max_by(|one, other| one.1.total_cmp(&other.1));
    furthest.map_or(0, |(index, _)| index)
}

/// ‖a − b‖ / ‖b‖; 0 where both are zero, infinite where b alone is or a value is no number.
pub fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    let square = |v: f64| v * v;
    let pairs = a.iter().zip(b);
    let apart: f64 = pairs
        .map(|(a, b)| square(f64::from(*a) - f64::from(*b)))
        .sum();
    let size: f64 = b.iter().map(|&b| square(f64::from(b))).sum();
    match apart {
        0.0 => 0.0,
        _ if (apart / size).is_finite() => (apart / size).sqrt(),
        _ => f64::INFINITY,
    }
}

/// A row-major index as one coordinate for each dimension.
pub fn coordinates(index: usize, shape: &[usize]) -> Vec<usize> {
    let mut rest = index;
    let mut coordinates: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&side| {
            let coordinate = rest % side.max(1);
            rest /= side.max(1);
            coordinate
        })
        .collect();
    coordinates.reverse();
    coordinates
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.frames {
            0 => write!(f, "`{}` {:?}", self.node, self.shape),
            frames => write!(f, "`{}` at {frames} frames {:?}", self.node, self.shape),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Layout { found, expected } => {
                let told = |place: &Option<Place>| match place {
                    Some(place) => place.to_string(),
                    None => "nothing".to_owned(),
                };
                write!(f, "expected {}, found {}", told(expected), told(found))
            }
            Difference::Values {
                place,
                error,
                index,
                found,
                expected,
            } => write!(
                f,
                "{place}: relative error {error:.1e}, most at {index:?}: expected {expected}, found {found}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(node: &str, values: [f32; 6]) -> Observation {
        Observation {
            node: node.to_owned(),
            frames: 4,
            shape: vec![1, 2, 3],
            values: values.to_vec(),
        }
    }

    #[test]
    fn the_first_difference_is_told() {
        let same = observed("stem", [0.5; 6]);
        let expected = observed("layer1", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let mut found = expected.clone();
        found.values[4] = 5.5;
        let last = observed("layer2", [f32::NAN; 6]);
        let difference = |found: &[&Observation], expected: &[&Observation], tolerance| {
            let owned = |list: &[&Observation]| list.iter().copied().cloned().collect::<Vec<_>>();
            first_difference(&owned(found), &owned(expected), |_| tolerance).map(|d| d.to_string())
        };
        assert_eq!(difference(&[&same, &found], &[&same, &expected], 0.1), None);
        assert_eq!(
            difference(&[&same, &found, &last], &[&same, &expected, &last], 0.01).unwrap(),
            "`layer1` at 4 frames [1, 2, 3]: relative error 5.2e-2, most at [0, 1, 1]: expected 5, found 5.5"
        );
        assert_eq!(
            difference(&[&same, &last], &[&same, &last], 1.0).unwrap(),
            "`layer2` at 4 frames [1, 2, 3]: relative error inf, most at [0, 1, 2]: expected NaN, found NaN"
        );
        assert_eq!(
            difference(&[&same], &[&same, &expected], 1.0).unwrap(),
            "expected `layer1` at 4 frames [1, 2, 3], found nothing"
        );
        assert_eq!(
            difference(&[&expected], &[&same], 1.0).unwrap(),
            "expected `stem` at 4 frames [1, 2, 3], found `layer1` at 4 frames [1, 2, 3]"
        );
    }

    #[test]
    fn zeros_are_equal_and_nothing_else_is_near_them() {
        let (zero, tiny) = (observed("x", [0.0; 6]), observed("x", [1e-30; 6]));
        let differ = |a: &Observation, b: &Observation| {
            first_difference(std::slice::from_ref(a), std::slice::from_ref(b), |_| 1e-3).is_some()
        };
        assert!(!differ(&zero, &zero));
        assert!(!differ(&observed("x", [-0.0; 6]), &zero));
        assert!(differ(&tiny, &zero));
        assert!(differ(&zero, &tiny));
    }
}
