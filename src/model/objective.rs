//! What is minimised, in dfdx operations.
//!
//! FFN (CVPR 2023, equations 3 and 4), with p_T the softmax of the branch of T frames and the largest branch as the teacher:
//!
//! ```text
//! L = CE(p_largest, label) + λ · Σ_{T < largest} KL(p_largest ‖ p_T)
//! ```
//!
//! each term averaged over the clips of the step; a label may be soft, a probability for each class ([`Targets`]); no gradient reaches
//! the teacher through the divergences. A vanilla model has the first term only. A pass over one of n shards of a step gives its part of
//! the mean: 1/n of that over its own clips.

use dfdx::prelude::*;

use crate::base::{Error, Kind, Result};
use crate::exec::dfdx::{Real, Rows};
use crate::spec::{Distillation, Method};

/// Logits of one branch: (clips, classes).
pub type Logits<E = f32, T = NoneTape> = Rows<E, T>;
/// A sum on its tape.
pub type Scalar<E = f32> = Tensor<Rank0, E, <E as Real>::On, Recorded<E>>;
/// The tape of a forward pass that will be differentiated.
pub type Recorded<E = f32> = OwnedTape<E, <E as Real>::On>;

/// What the clips of a step are.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a> {
    /// The class of each clip.
    Labels(&'a [usize]),
    /// For each clip the probability of each class: of mixed or smoothed labels.
    Soft {
        clips: usize,
        /// `clips × classes`
        probabilities: &'a [f32],
    },
}

impl Targets<'_> {
    pub fn clips(self) -> usize {
        match self {
            Self::Labels(labels) => labels.len(),
            Self::Soft { clips, .. } => clips,
        }
    }
}

/// Which terms there are, and their weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// Weight of every term but the largest branch's cross entropy.
    pub lambda: f64,
    pub distillation: Distillation,
}

/// The objective on its tape, and its parts as numbers.
pub struct Loss<E: Real = f32> {
    /// `total.backward()` is the whole backward pass.
    pub total: Scalar<E>,
    /// `ce`, then `kl.T` for each smaller branch (`ce.T` without distillation), lambda included.
    pub terms: Vec<(String, f64)>,
}

impl<E: Real> Loss<E> {
    /// The total as a number.
    pub fn value(&self) -> f64 {
        value(&self.total)
    }
}

/// One branch's forward pass.
pub struct BranchLogits<E: Real = f32> {
    pub frames: usize,
    pub logits: Logits<E, Recorded<E>>,
}

impl Objective {
    /// The objective of a method; a vanilla model has one branch, so that lambda never matters.
    pub fn of(method: &Method) -> Self {
        match method {
            Method::Vanilla { .. } => Self {
                lambda: 0.0,
                distillation: Distillation::Off,
            },
            Method::Ffn(ffn) => Self {
                lambda: ffn.lambda,
                distillation: ffn.distillation,
            },
        }
    }

    /// `branches`: frame counts ascending, all with a row for each label; the clips are those of one of `shards` shards.
    pub fn loss<E: Real>(
        &self,
        mut branches: Vec<BranchLogits<E>>,
        targets: Targets<'_>,
        shards: usize,
    ) -> Result<Loss<E>> {
        let over = (targets.clips() * shards) as f64;
        let largest = branches
            .pop()
            .ok_or_else(|| Error::new(Kind::Usage, "a training step needs at least one branch"))?;
        let targets = probabilities(&largest.logits, targets)?;
        let teacher = detach(&largest.logits).log_softmax::<Axis<1>>();

        let mut total = cross_entropy(largest.logits, targets.clone(), over);
        let mut terms = vec![("ce".to_owned(), value(&total))];
        for BranchLogits { frames, logits } in branches {
            let (name, term) = match self.distillation {
                Distillation::Off => ("ce", cross_entropy(logits, targets.clone(), over)),
                Distillation::FromLargest => {
                    let student = logits.log_softmax::<Axis<1>>();
                    ("kl", divergence(teacher.retaped(), student, over))
                }
                Distillation::Reversed => {
                    let student = logits.log_softmax::<Axis<1>>();
                    ("kl", divergence(student, teacher.retaped(), over))
                }
            };
            let term = term * E::nearest(self.lambda);
            terms.push((format!("{name}.{frames}"), value(&term)));
            total = total + term;
        }
        Ok(Loss { total, terms })
    }
}

/// With N = `clips`: CE = −1/N · Σ_n Σ_c y_nc · log softmax(z_n)_c, where y is 1 for a clip's label, or its soft target.
fn cross_entropy<E: Real>(
    logits: Logits<E, Recorded<E>>,
    targets: Logits<E>,
    clips: f64,
) -> Scalar<E> {
    (logits.log_softmax::<Axis<1>>() * targets).sum::<Rank0, _>() / E::nearest(-clips)
}

/// With N = `clips`: KL(p ‖ q) = 1/N · Σ_n Σ_c p·(log p − log q), from log p and log q.
///
/// Summed as q − p·(1 + log q − log p), which is the same because Σ q = Σ p = 1. An error of the softmax's
/// normaliser, common to a row, then cancels to first order, where Σ p·(log p − log q) would keep it whole: it is
/// several times the size of a tolerance when the branches nearly agree. Equal rows give exactly 0; no result is below
/// −1e-6, float32's rounding.
fn divergence<E: Real>(
    log_p: Logits<E, Recorded<E>>,
    log_q: Logits<E, Recorded<E>>,
    clips: f64,
) -> Scalar<E> {
    let log_ratio = log_q.with_empty_tape() - log_p.with_empty_tape();
    (log_q.exp() - log_p.exp() * (log_ratio + E::ONE)).sum::<Rank0, _>() / E::nearest(clips)
}

/// The same values under an identity that no tape knows.
fn detach<E: Real>(logits: &Logits<E, Recorded<E>>) -> Logits<E> {
    logits.retaped::<NoneTape>() * E::ONE
}

fn probabilities<E: Real>(
    like: &Logits<E, Recorded<E>>,
    targets: Targets<'_>,
) -> Result<Logits<E>> {
    let probabilities = match targets {
        Targets::Labels(labels) => return one_hot(like, labels),
        Targets::Soft { probabilities, .. } => probabilities,
    };
    let (clips, classes) = *like.shape();
    if probabilities.len() != clips * classes {
        let found = probabilities.len();
        let message =
            format!("expected {clips} soft targets of {classes} classes, found {found} values");
        return Err(Error::new(Kind::Data, message));
    }
    let values = probabilities.iter().map(|&p| E::nearest(f64::from(p)));
    let values: Vec<E> = values.collect();
    Ok(like.device().tensor_from_vec(values, (clips, classes)))
}

fn one_hot<E: Real>(like: &Logits<E, Recorded<E>>, labels: &[usize]) -> Result<Logits<E>> {
    let (clips, classes) = *like.shape();
    if labels.len() != clips {
        let message = format!("expected {clips} labels, found {}", labels.len());
        return Err(Error::new(Kind::Data, message));
    }
    if let Some(label) = labels.iter().find(|&&label| label >= classes) {
        let message = format!("expected labels below {classes}, found {label}");
        return Err(Error::new(Kind::Data, message));
    }
    let row = |&label: &usize| {
        let hot = move |class| if class == label { E::ONE } else { E::default() };
        (0..classes).map(hot)
    };
    let targets: Vec<E> = labels.iter().flat_map(row).collect();
    Ok(like.device().tensor_from_vec(targets, (clips, classes)))
}

fn value<E: Real>(scalar: &Scalar<E>) -> f64 {
    scalar.as_vec().into_iter().map(E::exact).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLASSES: usize = 5;

    /// Value, terms and the gradient with respect to each branch's logits.
    struct Evaluated {
        total: f64,
        terms: Vec<(String, f64)>,
        gradients: Vec<Vec<f32>>,
    }

    fn evaluate(objective: Objective, branches: &[Vec<f32>], labels: &[usize]) -> Evaluated {
        let device = Cpu::default();
        let tensors: Vec<Logits> = branches
            .iter()
            .map(|values| device.tensor_from_vec(values.clone(), (labels.len(), CLASSES)))
            .collect();
        let recorded = tensors.iter().enumerate().map(|(i, t)| BranchLogits {
            frames: 4 << i,
            logits: t.leaky_trace(),
        });
        let loss = objective
            .loss(recorded.collect(), Targets::Labels(labels), 1)
            .unwrap();
        let total = value(&loss.total);
        let mut gradients = loss.total.backward();
        Evaluated {
            total,
            terms: loss.terms,
            gradients: tensors
                .iter()
                .map(|t| gradients.get_or_alloc_mut(t).unwrap().to_vec())
                .collect(),
        }
    }

    fn objective(lambda: f64, distillation: Distillation) -> Objective {
        Objective {
            lambda,
            distillation,
        }
    }

    /// log softmax of one row in float64.
    fn log_softmax(row: &[f32]) -> Vec<f64> {
        let max = row.iter().fold(f64::MIN, |m, &v| m.max(f64::from(v)));
        let sum: f64 = row.iter().map(|&v| (f64::from(v) - max).exp()).sum();
        row.iter().map(|&v| f64::from(v) - max - sum.ln()).collect()
    }

    fn kl(from: &[f32], to: &[f32]) -> f64 {
        let rows = from.chunks(CLASSES).zip(to.chunks(CLASSES));
        let sum: f64 = rows
            .flat_map(|(p, q)| log_softmax(p).into_iter().zip(log_softmax(q)))
            .map(|(p, q)| p.exp() * (p - q))
            .sum();
        sum / (from.len() / CLASSES) as f64
    }

    fn logits(scale: f32) -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(-scale..scale, 2 * CLASSES)
    }

    fn any_distillation() -> impl Strategy<Value = Distillation> {
        prop_oneof![
            Just(Distillation::FromLargest),
            Just(Distillation::Reversed),
            Just(Distillation::Off)
        ]
    }

    proptest! {
        #[test]
        fn divergence_is_that_of_float64(a in logits(8.0), b in logits(8.0)) {
            let forward = evaluate(objective(1.0, Distillation::FromLargest), &[a.clone(), b.clone()], &[0, 1]);
            let reversed = evaluate(objective(1.0, Distillation::Reversed), &[a.clone(), b.clone()], &[0, 1]);
            prop_assert!((forward.terms[1].1 - kl(&b, &a)).abs() < 1e-5);
            prop_assert!((reversed.terms[1].1 - kl(&a, &b)).abs() < 1e-5);
        }

        #[test]
        fn divergence_of_equal_logits_is_zero(a in logits(30.0)) {
            for distillation in [Distillation::FromLargest, Distillation::Reversed] {
                let found = evaluate(objective(1.0, distillation), &[a.clone(), a.clone()], &[3, 4]);
                prop_assert_eq!(found.terms[1].1, 0.0);
                prop_assert!(found.gradients[0].iter().all(|g| g.abs() < 1e-6));
            }
        }

        #[test]
        fn divergence_is_never_negative(a in logits(30.0), b in logits(30.0), near in any::<bool>()) {
            let b = if near { a.iter().zip(&b).map(|(a, b)| a + b * 1e-4).collect() } else { b };
            for distillation in [Distillation::FromLargest, Distillation::Reversed] {
                let found = evaluate(objective(1.0, distillation), &[a.clone(), b.clone()], &[0, 0]);
                prop_assert!(found.terms[1].1 >= -1e-6, "{}", found.terms[1].1);
            }
        }

        /// The teacher's gradient is that of its own cross entropy, to the last bit.
        #[test]
        fn no_gradient_reaches_the_teacher(a in logits(5.0), b in logits(5.0), distillation in any_distillation()) {
            let alone = evaluate(objective(1.0, distillation), std::slice::from_ref(&b), &[1, 2]);
            let taught = evaluate(objective(3.0, distillation), &[a, b], &[1, 2]);
            prop_assert_eq!(&taught.gradients[1], &alone.gradients[0]);
            prop_assert!(taught.gradients[0].iter().any(|&g| g != 0.0));
        }

        #[test]
        fn without_lambda_it_is_cross_entropy(a in logits(5.0), b in logits(5.0), distillation in any_distillation()) {
            let found = evaluate(objective(0.0, distillation), &[a, b.clone()], &[1, 2]);
            let expected: f64 = -b.chunks(CLASSES).zip([1, 2]).map(|(row, label)| log_softmax(row)[label]).sum::<f64>() / 2.0;
            prop_assert!((found.total - expected).abs() < 1e-5);
            prop_assert!(found.gradients[0].iter().all(|&g| g == 0.0));
        }

        /// d KL(p ‖ softmax(z)) / dz = (softmax(z) − p) / N.
        #[test]
        fn gradient_of_the_divergence_is_the_difference_of_probabilities(a in logits(5.0), b in logits(5.0)) {
            let found = evaluate(objective(2.0, Distillation::FromLargest), &[a.clone(), b.clone()], &[0, 0]);
            for (row, gradient) in found.gradients[0].chunks(CLASSES).enumerate() {
                let of = |v: &[f32]| log_softmax(&v[row * CLASSES..][..CLASSES]);
                for ((q, p), g) in of(&a).iter().zip(of(&b)).zip(gradient) {
                    prop_assert!((2.0 * (q.exp() - p.exp()) / 2.0 - f64::from(*g)).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn terms_are_named_and_sum_to_the_total() {
        let branches = [vec![0.5; 5], vec![1.0, 0.0, 0.0, 0.0, 2.0], vec![0.0; 5]];
        for (distillation, names) in [
            (Distillation::FromLargest, ["ce", "kl.4", "kl.8"]),
            (Distillation::Off, ["ce", "ce.4", "ce.8"]),
        ] {
            let found = evaluate(objective(0.5, distillation), &branches, &[4]);
            let found_names: Vec<&str> = found.terms.iter().map(|(n, _)| n.as_str()).collect();
            assert_eq!(found_names, names);
            let sum: f64 = found.terms.iter().map(|(_, v)| v).sum();
            assert!((sum - found.total).abs() < 1e-6);
        }
    }

    #[test]
    fn extreme_logits_stay_finite() {
        let far = [
            vec![300.0, -300.0, 0.0, 0.0, 0.0],
            vec![-300.0, 300.0, 0.0, 0.0, 0.0],
        ];
        for distillation in [Distillation::FromLargest, Distillation::Reversed] {
            let found = evaluate(objective(1.0, distillation), &far, &[0]);
            assert!((found.terms[1].1 - 600.0).abs() < 1e-3, "{:?}", found.terms);
            assert!(found.gradients.iter().flatten().all(|g| g.is_finite()));
        }
    }

    #[test]
    fn wrong_labels_are_refused() {
        let device = Cpu::default();
        let branch = || BranchLogits::<f32> {
            frames: 8,
            logits: device.zeros_like(&(2, CLASSES)).leaky_traced(),
        };
        let objective = objective(1.0, Distillation::FromLargest);
        let message =
            |labels: &[usize]| match objective.loss(vec![branch()], Targets::Labels(labels), 1) {
                Ok(_) => panic!("accepted {labels:?}"),
                Err(error) => error.message,
            };
        assert_eq!(message(&[1, 5]), "expected labels below 5, found 5");
        assert_eq!(message(&[1]), "expected 2 labels, found 1");
    }
}
