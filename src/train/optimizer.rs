//! SGD with momentum, PyTorch's update, in groups by kind of parameter.
//!
//! With g the gradient, p the parameter, v its momentum, m, wd and lr those of the experiment, and the multipliers of
//! the parameter's group ([`Groups`]):
//!
//! ```text
//! ‖g‖ = sqrt(Σ g²) over all trained parameters
//! g ← g · min(1, clip / (‖g‖ + 1e-6))            where clipping applies
//! v ← m·v + g + (wd · group.decay) · p           v is 0 before the first step
//! p ← p − (lr · group.lr) · v
//! ```
//!
//! The norm is summed in float64 in an order that the parameters' shapes alone decide; the update is elementwise in float32
//! ([`Update::apply`]). Both are computed on the model's device, which has v, of every parameter that is not frozen.

use crate::base::Result;
use crate::exec::{Rates, Update};
use crate::graph::ParamKind;
use crate::model::{Model, state};
use crate::run::optimizer_state::{self, OptimizerState};
use crate::spec::{self, Experiment, Group, Groups, Precision};

pub struct Optimizer {
    momentum: f32,
    /// Largest total norm of the gradients; `None` where clipping does not apply.
    clip: Option<f64>,
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
pub struct Rule<'a> {
    pub parameter: &'a str,
    pub frozen: bool,
    pub rate: f32,
    pub decay: f32,
    pub momentum: f32,
}

/// The group of a kind of parameter.
pub fn group(groups: &Groups, kind: ParamKind) -> Group {
    match kind {
        ParamKind::FirstConv => groups.first_conv,
        ParamKind::Conv => groups.conv,
        ParamKind::Alteration => groups.alteration,
        ParamKind::NormWeight | ParamKind::NormBias => groups.norm,
        ParamKind::ClassifierWeight => groups.classifier_weight,
        ParamKind::ClassifierBias => groups.classifier_bias,
    }
}

impl Slot {
    /// The name of its momentum in the state.
    fn tensor(&self) -> String {
        optimizer_state::tensor_name(optimizer_state::SGD_MOMENTUM, &self.name)
    }

    fn rates(&self, lr: f64) -> Rates {
        Rates {
            rate: (lr * self.rate) as f32,
            decay: self.decay,
        }
    }
}

impl Optimizer {
    pub fn new(model: &Model, experiment: &Experiment) -> Result<Self> {
        let spec::Optimizer::Sgd(sgd) = &experiment.optimizer;
        let mixed = experiment.train.precision == Precision::Mixed;
        let graph = model.graph();
        let trained = graph.trained(experiment.train.frozen_norms);
        let slots = graph.params.iter().zip(&trained).map(|(param, &trained)| {
            let group = group(&sgd.groups, param.kind);
            Slot {
                name: param.name.clone(),
                shape: param.shape.clone(),
                rate: group.lr,
                decay: (sgd.weight_decay * group.decay) as f32,
                frozen: !trained,
            }
        });
        let slots: Vec<Slot> = slots.collect();
        model.device().reset_momentum(&trained)?;
        Ok(Self {
            momentum: sgd.momentum as f32,
            clip: sgd
                .clip
                .filter(|clip| clip.under_mixed || !mixed)
                .map(|clip| clip.norm),
            slots,
            steps: 0,
        })
    }

    /// Clips and applies the gradients that the model's last step left, at the rate `lr`; returns their total L2 norm
    /// before clipping. When that norm is not finite nothing changes, so that what was learnt so far can still be saved.
    pub fn step(&mut self, model: &mut Model, lr: f64) -> Result<f64> {
        let norm = self.total_norm(model)?;
        if norm.is_finite() {
            model.device().learn(&self.update(norm, lr))?;
            model.changed();
            self.steps += 1;
        }
        Ok(norm)
    }

    /// The update from gradients of total norm `norm` at the rate `lr`.
    fn update(&self, norm: f64, lr: f64) -> Update {
        let rates = self.slots.iter().map(|slot| slot.rates(lr));
        Update {
            momentum: self.momentum,
            scale: self.scale(norm),
            rates: rates.collect(),
        }
    }

    /// The factor by which gradients of total norm `norm` are clipped.
    pub fn scale(&self, norm: f64) -> f32 {
        let clip = self.clip.map(|clip| (clip / (norm + 1e-6)).min(1.0));
        clip.unwrap_or(1.0) as f32
    }

    /// What a step at the rate `lr` does with each parameter, in the graph's order.
    pub fn rules(&self, lr: f64) -> impl Iterator<Item = Rule<'_>> {
        self.slots.iter().map(move |slot| {
            let Rates { rate, decay } = slot.rates(lr);
            Rule {
                parameter: &slot.name,
                frozen: slot.frozen,
                rate,
                decay,
                momentum: self.momentum,
            }
        })
    }

    /// L2 norm over the gradients of all trained parameters that the model's last step left.
    pub fn total_norm(&self, model: &Model) -> Result<f64> {
        Ok(model.device().gradient_square()?.sqrt())
    }

    /// Steps that were done, and the momentum of each trained parameter, in the graph's order; none before the first step.
    pub fn state(&self, model: &Model) -> Result<OptimizerState> {
        if self.steps == 0 {
            return Ok(OptimizerState::default());
        }
        let trained = self.trained().zip(model.device().momentum()?);
        let named = trained.map(|(slot, v)| (slot.tensor(), slot.shape.clone(), v));
        Ok(OptimizerState {
            steps: self.steps,
            tensors: named.collect(),
        })
    }

    /// What [`Optimizer::state`] gave; nothing is missing and nothing left over.
    pub fn load_state(&mut self, model: &Model, state: &OptimizerState) -> Result<()> {
        let of_step = self.trained().filter(|_| state.steps > 0);
        let names: Vec<String> = of_step.clone().map(Slot::tensor).collect();
        let names = names.iter().map(String::as_str);
        let expected = names.zip(of_step.map(|slot| slot.shape.as_slice()));
        let found = state::in_order("optimiser's state", expected, &state.tensors)?;
        match state.steps {
            0 => {
                let trained: Vec<bool> = self.slots.iter().map(|slot| !slot.frozen).collect();
                model.device().reset_momentum(&trained)?;
            }
            _ => model.device().write_momentum(&found)?,
        }
        self.steps = state.steps;
        Ok(())
    }

    fn trained(&self) -> impl Iterator<Item = &Slot> + Clone {
        self.slots.iter().filter(|slot| !slot.frozen)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::exec::Executor;
    use crate::graph::Graph;
    use crate::spec::network::{self, Network, Training, experiment};
    use crate::spec::{Backbone, Block, Clip, FrozenNorms, Method, ResNet, Stem};

    fn small() -> Experiment {
        experiment(&Network {
            method: Method::Vanilla { frames: 4 },
            model: network::tsm(Backbone::ResNet(ResNet {
                block: Block::Basic,
                blocks: vec![1],
                width: 8,
                stem: Stem::Small,
            })),
            classes: 2,
            size: 8,
            training: Some(Training {
                batch: 1,
                lr: 0.1,
                momentum: 0.9,
                weight_decay: 0.01,
                clip_norm: None,
            }),
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

    #[test]
    fn clipping_scales_to_the_norm() {
        let mut experiment = small();
        let spec::Optimizer::Sgd(sgd) = &mut experiment.optimizer;
        sgd.clip = Some(Clip {
            norm: 2.0,
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
