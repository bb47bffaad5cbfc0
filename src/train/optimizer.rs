//! SGD with momentum, in groups by kind of parameter, and AdamW: PyTorch's updates.
//!
//! With g the gradient, the multipliers of the parameter's group ([`group`]), and lr and wd those of the experiment:
//!
//! ```text
//! ‖g‖ = sqrt(Σ g²) over all trained parameters
//! g ← min(max(g, −value), value)                 where clipping by value applies, before the norm
//! g ← g · min(1, clip / (‖g‖ + 1e-6))            where clipping applies
//! p ← the rule's update of p from g, at the rate lr · group.lr, with the decay wd · group.decay
//! ```
//!
//! The norm is summed in float64 in an order that the parameters' shapes alone decide; the update is elementwise in float32
//! ([`Rule`]). Both are computed on the model's device, which has the moments, of every parameter that is not frozen.

use super::rates;
use crate::base::Result;
use crate::exec::{AdamW, Rates, Rule, Update};
use crate::graph::{Graph, Param, ParamKind};
use crate::model::{Model, state};
use crate::run::optimizer_state::{self, OptimizerState};
use crate::spec::{self, Clip, Experiment, Group, Precision};

pub struct Optimizer {
    spec: spec::Optimizer,
    /// `None` where clipping does not apply.
    clip: Option<Clip>,
    slots: Vec<Slot>,
    /// Steps that were done.
    steps: u64,
}

/// What belongs to one parameter.
struct Slot {
    name: String,
    shape: Vec<usize>,
    /// Multiplier of the learning rate.
    rate: f64,
    /// Weight decay, multiplied out.
    decay: f32,
    frozen: bool,
}

/// How one parameter is updated: the formula's numbers, multiplied out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step<'a> {
    pub parameter: &'a str,
    pub frozen: bool,
    pub rate: f32,
    pub decay: f32,
    pub rule: Rule,
}

/// What rate and decay of a parameter are multiplied by.
pub fn group(optimizer: &spec::Optimizer, param: &Param) -> Group {
    match optimizer {
        spec::Optimizer::Sgd(sgd) => match param.kind {
            ParamKind::FirstConv => sgd.groups.first_conv,
            ParamKind::Conv | ParamKind::ConvBias => sgd.groups.conv,
            ParamKind::Alteration => sgd.groups.alteration,
            ParamKind::NormWeight | ParamKind::NormBias => sgd.groups.norm,
            ParamKind::ClassifierWeight => sgd.groups.classifier_weight,
            ParamKind::ClassifierBias => sgd.groups.classifier_bias,
        },
        spec::Optimizer::AdamW(adam) => {
            let decays = adam.decay_1d || param.shape.len() > 1;
            Group::new(1.0, if decays { 1.0 } else { 0.0 })
        }
    }
}

/// Whether training changes each parameter.
pub fn trained(experiment: &Experiment, graph: &Graph) -> Result<Vec<bool>> {
    let rates = rates::multipliers(&experiment.train, graph)?;
    let norms = graph.trained(experiment.train.frozen_norms).into_iter();
    Ok(norms
        .zip(rates)
        .map(|(trained, rate)| trained && rate > 0.0)
        .collect())
}

/// The quantities that a rule keeps of each parameter, in a device's order of moments.
fn quantities(optimizer: &spec::Optimizer) -> &'static [&'static str] {
    match optimizer {
        spec::Optimizer::Sgd(_) => &[optimizer_state::SGD_MOMENTUM],
        spec::Optimizer::AdamW(_) => &optimizer_state::ADAM_MOMENTS,
    }
}

/// The rule of step `step`, from 1.
fn rule(optimizer: &spec::Optimizer, step: u64) -> Rule {
    match optimizer {
        spec::Optimizer::Sgd(sgd) => Rule::Sgd {
            momentum: sgd.momentum as f32,
            nesterov: sgd.nesterov,
        },
        spec::Optimizer::AdamW(adam) => {
            // `libm` for the same bits on every machine.
            let left = |beta: f64| 1.0 - libm::pow(beta, step as f64);
            Rule::AdamW(AdamW {
                new1: (1.0 - adam.beta1) as f32,
                beta2: adam.beta2 as f32,
                new2: (1.0 - adam.beta2) as f32,
                eps: adam.eps as f32,
                correction1: left(adam.beta1).recip() as f32,
                correction2: left(adam.beta2).sqrt() as f32,
            })
        }
    }
}

impl Slot {
    fn rates(&self, lr: f64) -> Rates {
        Rates {
            rate: (lr * self.rate) as f32,
            decay: self.decay,
        }
    }
}

impl Optimizer {
    pub fn new(model: &Model, experiment: &Experiment) -> Result<Self> {
        let spec = experiment.optimizer.clone();
        let mixed = experiment.train.precision == Precision::Mixed;
        let graph = model.graph();
        let rates = rates::multipliers(&experiment.train, graph)?;
        let trained = trained(experiment, graph)?;
        let slots = graph.params.iter().zip(&rates).zip(&trained);
        let slots = slots.map(|((param, rate), &trained)| {
            let group = group(&spec, param);
            Slot {
                name: param.name.clone(),
                shape: param.shape.clone(),
                rate: group.lr * rate,
                decay: (spec.weight_decay() * group.decay) as f32,
                frozen: !trained,
            }
        });
        let slots: Vec<Slot> = slots.collect();
        model.device().reset_moments(&trained, spec.moments())?;
        Ok(Self {
            clip: spec.clip().filter(|clip| clip.under_mixed || !mixed),
            slots,
            steps: 0,
            spec,
        })
    }

    /// Clips and applies the gradients that the model's last step left, at the rate `lr`; returns their total L2 norm
    /// before clipping. When that norm is not finite nothing changes, so that what was learnt so far can still be saved.
    pub fn step(&mut self, model: &mut Model, lr: f64) -> Result<f64> {
        let norm = self.total_norm(model)?;
        if norm.is_finite() {
            let mut clipped = norm;
            if let Some(most) = self.clip.and_then(|clip| clip.value) {
                model.device().clamp_gradients(most as f32)?;
                clipped = self.total_norm(model)?;
            }
            model.device().learn(&self.update(clipped, lr))?;
            model.changed();
            self.steps += 1;
        }
        Ok(norm)
    }

    /// The next update, from gradients of total norm `norm` at the rate `lr`.
    fn update(&self, norm: f64, lr: f64) -> Update {
        let rates = self.slots.iter().map(|slot| slot.rates(lr));
        Update {
            rule: rule(&self.spec, self.steps + 1),
            scale: self.scale(norm),
            rates: rates.collect(),
        }
    }

    /// The factor by which gradients of total norm `norm` are clipped.
    pub fn scale(&self, norm: f64) -> f32 {
        let clip = self.clip.map(|clip| (clip.norm / (norm + 1e-6)).min(1.0));
        clip.unwrap_or(1.0) as f32
    }

    /// What the next step does at the rate `lr` with each parameter, in the graph's order.
    pub fn rules(&self, lr: f64) -> impl Iterator<Item = Step<'_>> {
        self.slots.iter().map(move |slot| {
            let Rates { rate, decay } = slot.rates(lr);
            Step {
                parameter: &slot.name,
                frozen: slot.frozen,
                rate,
                decay,
                rule: rule(&self.spec, self.steps + 1),
            }
        })
    }

    /// L2 norm over the gradients of all trained parameters that the model's last step left.
    pub fn total_norm(&self, model: &Model) -> Result<f64> {
        Ok(model.device().gradient_square()?.sqrt())
    }

    /// Steps that were done, and the moments of each trained parameter, in the graph's order; none before the first step.
    pub fn state(&self, model: &Model) -> Result<OptimizerState> {
        if self.steps == 0 {
            return Ok(OptimizerState::default());
        }
        let moments = self.moments().zip(model.device().moments()?);
        let named = moments.map(|((name, slot), values)| (name, slot.shape.clone(), values));
        Ok(OptimizerState {
            steps: self.steps,
            tensors: named.collect(),
        })
    }

    /// What [`Optimizer::state`] gave; nothing is missing and nothing left over.
    pub fn load_state(&mut self, model: &Model, state: &OptimizerState) -> Result<()> {
        let expected: Vec<_> = self.moments().filter(|_| state.steps > 0).collect();
        let expected = expected
            .iter()
            .map(|(name, slot)| (name.as_str(), slot.shape.as_slice()));
        let found = state::in_order("optimiser's state", expected, &state.tensors)?;
        match state.steps {
            0 => {
                let trained: Vec<bool> = self.slots.iter().map(|slot| !slot.frozen).collect();
                let count = self.spec.moments();
                model.device().reset_moments(&trained, count)?;
            }
            _ => model.device().write_moments(&found)?,
        }
        self.steps = state.steps;
        Ok(())
    }

    /// The names of all moments, in a device's order, and whose they are.
    fn moments(&self) -> impl Iterator<Item = (String, &Slot)> {
        quantities(&self.spec).iter().flat_map(|quantity| {
            let trained = self.slots.iter().filter(|slot| !slot.frozen);
            trained.map(|slot| (optimizer_state::tensor_name(quantity, &slot.name), slot))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::exec::Executor;
    use crate::spec::network::{self, Network, Training, experiment};
    use crate::spec::{FrozenNorms, Method};

    fn small() -> Experiment {
        experiment(&Network {
            method: Method::Vanilla { frames: 4 },
            model: network::tsm(network::smallest()),
            classes: 2,
            size: 8,
            training: Some(Training::sgd(1, 0.1, 0.9, 0.01)),
        })
    }

    /// A model whose parameters are all one value, and its optimiser.
    struct Bench {
        model: Model,
        optimizer: Optimizer,
    }

    impl Bench {
        fn new(experiment: &Experiment, value: f32) -> Self {
            let model = Model::new(experiment, Path::new(""), Executor::compiled(1)).unwrap();
            let optimizer = Optimizer::new(&model, experiment).unwrap();
            let values = filled(model.graph(), value);
            let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
            model.device().write_parameters(&values).unwrap();
            Self { model, optimizer }
        }

        fn step(&mut self, gradients: &[Vec<f32>], lr: f64) -> f64 {
            self.model.device().write_gradients(gradients).unwrap();
            self.optimizer.step(&mut self.model, lr).unwrap()
        }

        fn graph(&self) -> &Graph {
            self.model.graph()
        }

        fn values(&self) -> Vec<Vec<f32>> {
            self.model.device().parameters().unwrap()
        }

        fn state(&self) -> OptimizerState {
            self.optimizer.state(&self.model).unwrap()
        }

        fn load(&mut self, state: &OptimizerState) -> Result<()> {
            self.optimizer.load_state(&self.model, state)
        }

        fn first(&self, name: &str) -> f32 {
            let mut params = self.graph().params.iter();
            let index = params.position(|p| p.name == name).unwrap();
            self.values()[index][0]
        }
    }

    fn filled(graph: &Graph, value: f32) -> Vec<Vec<f32>> {
        let params = graph.params.iter();
        params
            .map(|p| vec![value; p.shape.iter().product()])
            .collect()
    }

    fn assert_close(found: f32, expected: f64) {
        assert!(
            (f64::from(found) - expected).abs() < 1e-6,
            "{found}, expected {expected}"
        );
    }

    /// p = 1, g = 0.5, wd = 0.01, m = 0.9, lr = 0.1, by hand:
    /// v₁ = 0.5 + 0.01 = 0.51, p₁ = 1 − 0.051 = 0.949; v₂ = 0.9 · 0.51 + 0.5 + 0.00949 = 0.96849, p₂ = 0.852151.
    #[test]
    fn update_is_pytorchs_in_groups() {
        let mut bench = Bench::new(&small(), 1.0);
        let gradients = filled(bench.graph(), 0.5);
        bench.step(&gradients, 0.1);
        assert_close(bench.first("base_model.conv1.weight"), 0.949);
        assert_close(bench.first("base_model.bn1.weight"), 0.95);
        assert_close(bench.first("new_fc.weight"), 1.0 - 0.5 * 0.51);
        assert_close(bench.first("new_fc.bias"), 1.0 - 1.0 * 0.5);
        bench.step(&gradients, 0.1);
        assert_close(bench.first("base_model.layer1.0.conv1.weight"), 0.852_151);
        assert_close(bench.first("new_fc.bias"), 1.0 - 1.0 * 0.5 - 1.0 * 0.95);
    }

    /// By hand, as above: v₁ = 0.51, p₁ = 1 − 0.1·(0.51 + 0.9·0.51) = 0.9031; d = 0.509031, v₂ = 0.459 + d = 0.968031,
    /// p₂ = 0.9031 − 0.1·(d + 0.9·v₂) = 0.765074.
    #[test]
    fn nesterovs_momentum_looks_ahead() {
        let mut experiment = small();
        if let spec::Optimizer::Sgd(sgd) = &mut experiment.optimizer {
            sgd.nesterov = true;
        }
        let mut bench = Bench::new(&experiment, 1.0);
        let gradients = filled(bench.graph(), 0.5);
        bench.step(&gradients, 0.1);
        assert_close(bench.first("base_model.conv1.weight"), 0.9031);
        bench.step(&gradients, 0.1);
        assert_close(bench.first("base_model.conv1.weight"), 0.765_074_11);
    }

    /// From a constant gradient Adam's step is the rate, whatever the gradient: p₁ = 1·(1 − 0.1·0.5) − 0.1, p₂ = 0.85·0.95 − 0.1; norms
    /// and biases do not decay.
    #[test]
    fn adamw_decays_beside_its_step() {
        let mut experiment = small();
        experiment.optimizer = spec::Optimizer::AdamW(spec::AdamW {
            lr: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.5,
            decay_1d: false,
            clip: None,
        });
        let mut bench = Bench::new(&experiment, 1.0);
        let gradients = filled(bench.graph(), 0.25);
        bench.step(&gradients, 0.1);
        assert_close(bench.first("base_model.conv1.weight"), 0.85);
        assert_close(bench.first("base_model.bn1.weight"), 0.9);
        assert_close(bench.first("new_fc.bias"), 0.9);
        bench.step(&gradients, 0.1);
        assert_close(bench.first("base_model.conv1.weight"), 0.7075);
        let state = bench.state();
        let trained = bench.graph().params.len();
        assert_eq!((state.steps, state.tensors.len()), (2, 2 * trained));
        assert_eq!(
            state.tensors[trained].0,
            "exp_avg_sq/base_model.conv1.weight"
        );
        let mut resumed = Bench::new(&experiment, 1.0);
        resumed.load(&state).unwrap();
        assert_eq!(resumed.state(), state);
    }

    #[test]
    fn clipping_scales_to_the_norm() {
        let mut experiment = small();
        *experiment.optimizer.clip_mut() = Some(Clip {
            norm: 2.0,
            value: None,
            under_mixed: false,
        });
        let mut bench = Bench::new(&experiment, 0.0);
        let count: usize = bench
            .graph()
            .params
            .iter()
            .map(|p| p.shape.iter().product::<usize>())
            .sum();
        let gradients = filled(bench.graph(), 0.5);
        let norm = bench.step(&gradients, 0.1);
        assert!((norm - 0.5 * (count as f64).sqrt()).abs() < 1e-9);
        assert_close(
            bench.first("base_model.conv1.weight"),
            -0.1 * 0.5 * 2.0 / (norm + 1e-6),
        );

        experiment.train.precision = Precision::Mixed;
        let mut bench = Bench::new(&experiment, 0.0);
        bench.step(&gradients, 0.1);
        assert_close(bench.first("base_model.conv1.weight"), -0.05);
    }

    #[test]
    fn gradients_are_cut_to_a_value_first() {
        let mut experiment = small();
        *experiment.optimizer.clip_mut() = Some(Clip {
            norm: 1e9,
            value: Some(0.2),
            under_mixed: true,
        });
        let mut bench = Bench::new(&experiment, 0.0);
        let mut gradients = filled(bench.graph(), 0.1);
        gradients[0].fill(-0.5);
        bench.step(&gradients, 0.1);
        assert_close(bench.first("base_model.conv1.weight"), 0.02);
        assert_close(bench.first("base_model.layer1.0.conv1.weight"), -0.01);
        gradients[0][0] = f32::NAN;
        assert!(bench.step(&gradients, 0.1).is_nan());
    }

    /// What is frozen has no moments, changes nothing and does not count.
    #[test]
    fn a_rate_of_zero_freezes() {
        let mut experiment = small();
        experiment.train.rates = vec![("base_model.".into(), 0.0), ("new_fc.weight".into(), 0.5)];
        let mut bench = Bench::new(&experiment, 1.0);
        let norm = bench.step(&filled(bench.graph(), 0.5), 0.1);
        assert_close(bench.first("base_model.conv1.weight"), 1.0);
        assert_close(bench.first("new_fc.weight"), 1.0 - 0.25 * 0.51);
        let trained = bench.state().tensors;
        assert_eq!(trained.len(), 2);
        let count: usize = trained.iter().map(|(_, _, values)| values.len()).sum();
        assert!((norm - 0.5 * (count as f64).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn frozen_norms_are_left_alone_and_do_not_count() {
        for (frozen, first, block) in [
            (FrozenNorms::Off, 0.95, 0.95),
            (FrozenNorms::AllButFirst, 0.95, 1.0),
            (FrozenNorms::All, 1.0, 1.0),
        ] {
            let mut experiment = small();
            experiment.train.frozen_norms = frozen;
            let mut bench = Bench::new(&experiment, 1.0);
            let norm = bench.step(&filled(bench.graph(), 0.5), 0.1);
            assert_close(bench.first("base_model.bn1.bias"), first);
            assert_close(bench.first("base_model.layer1.0.bn1.weight"), block);
            let params = bench
                .graph()
                .params
                .iter()
                .zip(bench.graph().trained(frozen));
            let trained = params
                .filter(|(_, trained)| *trained)
                .map(|(param, _)| param);
            let trained: Vec<_> = trained.collect();
            let count: usize = trained
                .iter()
                .map(|p| p.shape.iter().product::<usize>())
                .sum();
            assert!((norm - 0.5 * (count as f64).sqrt()).abs() < 1e-9);
            assert_eq!(bench.state().tensors.len(), trained.len());
        }
    }

    #[test]
    fn nothing_changes_when_the_norm_is_not_finite() {
        let mut bench = Bench::new(&small(), 1.0);
        let mut gradients = filled(bench.graph(), 0.5);
        gradients[1][0] = f32::NAN;
        assert!(bench.step(&gradients, 0.1).is_nan());
        assert_eq!(bench.values(), filled(bench.graph(), 1.0));
        assert_eq!(bench.state(), OptimizerState::default());
    }

    #[test]
    fn state_that_does_not_fit_is_refused() {
        let mut bench = Bench::new(&small(), 1.0);
        bench.step(&filled(bench.graph(), 0.5), 0.1);
        let mut state = bench.state();
        assert_eq!(state.steps, 1);
        state.tensors[0].0 = "exp_avg/base_model.conv1.weight".to_owned();
        state.tensors[1].1 = vec![1, 8];
        let error = bench.load(&state).unwrap_err();
        insta::assert_snapshot!(error.message, @r"
        the optimiser's state does not fit the model:
          missing    momentum/base_model.conv1.weight
          shape      momentum/base_model.bn1.weight: expected [8], found [1, 8]
          unexpected exp_avg/base_model.conv1.weight
        ");
        // Before the first step there is none, and after it all are there.
        state.steps = 0;
        assert!(bench.load(&state).is_err());
        let none = OptimizerState {
            steps: 1,
            tensors: Vec::new(),
        };
        assert!(bench.load(&none).is_err());
    }

    proptest! {
        /// Going on from a saved state is the same, bit for bit, as never having stopped.
        #[test]
        fn state_is_all_that_a_step_reads(gradient in -1.0f32..1.0, lr in 0.001..0.5, stop in 0usize..4) {
            let experiment = small();
            let mut whole = Bench::new(&experiment, 1.0);
            let gradients = filled(whole.graph(), gradient);
            let mut resumed = Bench::new(&experiment, 1.0);
            for step in 0..4 {
                if step == stop {
                    let (state, weights) = (resumed.state(), resumed.model.state_dict().unwrap());
                    resumed = Bench::new(&experiment, 0.0);
                    resumed.model.load_state_dict(&weights).unwrap();
                    resumed.load(&state).unwrap();
                }
                whole.step(&gradients, lr);
                resumed.step(&gradients, lr);
            }
            prop_assert_eq!(whole.values(), resumed.values());
        }
    }
}
