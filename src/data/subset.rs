//! A part of the training videos, by hash.

use std::collections::BTreeMap;

use super::dataset::Sample;
use crate::base::files;

/// Of each class the videos whose ids have the smallest SHA-256, round(`part` · n) of n and one at least, in the order in which they were. Nothing
/// but the ids decides: everybody has the same, and a smaller part lies in a larger one.
pub fn subset(samples: Vec<Sample>, part: f64) -> Vec<Sample> {
    let mut by_class: BTreeMap<usize, Vec<(String, usize)>> = BTreeMap::new();
    for (place, sample) in samples.iter().enumerate() {
        let hash = files::sha256(sample.id.as_bytes());
        by_class
            .entry(sample.label)
            .or_default()
            .push((hash, place));
    }
    let mut kept = vec![false; samples.len()];
    for (_, mut videos) in by_class {
        videos.sort_unstable();
        let count = ((part * videos.len() as f64).round() as usize).max(1);
        for (_, place) in videos.into_iter().take(count) {
            kept[place] = true;
        }
    }
    let samples = samples.into_iter().zip(kept);
    samples
        .filter_map(|(sample, kept)| kept.then_some(sample))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::video::Source;
    use proptest::prelude::*;

    fn samples(labels: &[usize]) -> Vec<Sample> {
        let sample = |(number, &label): (usize, &usize)| Sample {
            id: number.to_string(),
            label,
            source: Source::File(number.to_string().into()),
        };
        labels.iter().enumerate().map(sample).collect()
    }

    proptest! {
        #[test]
        fn a_smaller_part_lies_in_a_larger_one(
            labels in proptest::collection::vec(0usize..4, 1..60), a in 0.01f64..1.0, b in 0.01f64..1.0,
        ) {
            let all = samples(&labels);
            let [small, large] = [a.min(b), a.max(b)].map(|part| subset(all.clone(), part));
            prop_assert!(small.iter().all(|sample| large.contains(sample)));
            prop_assert_eq!(subset(all.clone(), 1.0), all.clone());
            for label in labels {
                let count = |of: &[Sample]| of.iter().filter(|sample| sample.label == label).count();
                let expected = ((a.min(b) * count(&all) as f64).round() as usize).max(1);
                prop_assert_eq!(count(&small), expected);
            }
        }

        #[test]
        fn the_order_of_the_list_decides_nothing(labels in proptest::collection::vec(0usize..3, 2..40)) {
            let all = samples(&labels);
            let reversed: Vec<Sample> = all.iter().rev().cloned().collect();
            let mut found = subset(reversed, 0.4);
            found.reverse();
            prop_assert_eq!(found, subset(all, 0.4));
        }
    }
}
