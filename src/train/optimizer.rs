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
//! The norm is summed in float64 in the graph's order; the update is elementwise in float32.

use crate::base::Result;
use crate::graph::{Graph, Param, ParamKind};
use crate::model::{Model, state};
use crate::spec::{Experiment, FrozenNorms, Group, Groups, Precision};

pub struct Optimizer {
    momentum: f32,
    /// Largest total norm of the gradients; `None` where clipping does not apply.
    clip: Option<f64>,
    slots: Vec<Slot>,
    started: bool,
}

/// What belongs to one parameter.
struct Slot {
    name: String,
    shape: Vec<usize>,
    /// Multiplier of the learning rate.
    rate: f64,
    /// Weight decay, multiplied out.
    decay: f32,
    /// `None` for a frozen parameter.
    velocity: Option<Vec<f32>>,
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

/// Whether training leaves a parameter alone. The first norm is the stem's, of whichever branch.
pub fn is_frozen(param: &Param, frozen: FrozenNorms) -> bool {
    let is_norm = matches!(param.kind, ParamKind::NormWeight | ParamKind::NormBias);
    match frozen {
        FrozenNorms::Off => false,
        FrozenNorms::AllButFirst => is_norm && !param.name.starts_with("base_model.bn1"),
        FrozenNorms::All => is_norm,
    }
}

impl Optimizer {
    pub fn new(graph: &Graph, experiment: &Experiment) -> Self {
        let sgd = &experiment.optimizer;
        let mixed = experiment.train.precision == Precision::Mixed;
        let slots = graph.params.iter().map(|param| {
            let group = group(&sgd.groups, param.kind);
            let frozen = is_frozen(param, experiment.train.frozen_norms);
            Slot {
                name: param.name.clone(),
                shape: param.shape.clone(),
                rate: group.lr,
                decay: (sgd.weight_decay * group.decay) as f32,
                velocity: (!frozen).then(|| vec![0.0; param.shape.iter().product()]),
            }
        });
        Self {
            momentum: sgd.momentum as f32,
            clip: sgd
                .clip
                .filter(|clip| clip.under_mixed || !mixed)
                .map(|clip| clip.norm),
            slots: slots.collect(),
            started: false,
        }
    }

    /// Clips and applies the gradients at the rate `lr`; returns their total L2 norm before clipping. When that norm
    /// is not finite nothing changes, so that what was learnt so far can still be saved.
    pub fn step(&mut self, model: &mut Model, gradients: &[Vec<f32>], lr: f64) -> f64 {
        self.apply(gradients, lr, &mut |index, change| {
            model.update(index, change)
        })
    }

    /// [`Optimizer::step`] on parameters that `update` gives access to, by index.
    fn apply(
        &mut self,
        gradients: &[Vec<f32>],
        lr: f64,
        update: &mut dyn FnMut(usize, &mut dyn FnMut(&mut [f32])),
    ) -> f64 {
        let norm = self.total_norm(gradients);
        if !norm.is_finite() {
            return norm;
        }
        let scale = self
            .clip
            .map_or(1.0, |clip| (clip / (norm + 1e-6)).min(1.0)) as f32;
        for (index, (slot, gradient)) in self.slots.iter_mut().zip(gradients).enumerate() {
            if let Some(velocity) = &mut slot.velocity {
                let rate = (lr * slot.rate) as f32;
                let (momentum, decay) = (self.momentum, slot.decay);
                update(index, &mut |values| {
                    for ((p, v), g) in values.iter_mut().zip(&mut *velocity).zip(gradient) {
                        *v = momentum * *v + (g * scale + decay * *p);
                        *p -= rate * *v;
                    }
                });
            }
        }
        self.started = true;
        norm
    }

    fn total_norm(&self, gradients: &[Vec<f32>]) -> f64 {
        let trained = self.slots.iter().zip(gradients);
        let squares = trained
            .filter(|(slot, _)| slot.velocity.is_some())
            .map(|(_, gradient)| gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>());
        squares.sum::<f64>().sqrt()
    }

    /// Momentum of each trained parameter by its official name, in the graph's order; empty before the first step.
    pub fn state(&self) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        if !self.started {
            return Vec::new();
        }
        let trained = self.slots.iter().filter_map(|slot| {
            let velocity = slot.velocity.clone()?;
            Some((slot.name.clone(), slot.shape.clone(), velocity))
        });
        trained.collect()
    }

    /// What [`Optimizer::state`] gave; nothing is missing and nothing left over.
    pub fn load_state(&mut self, state: &[(String, Vec<usize>, Vec<f32>)]) -> Result<()> {
        let trained = self.slots.iter_mut().filter(|s| s.velocity.is_some());
        let mut trained: Vec<&mut Slot> = trained.collect();
        if state.is_empty() {
            for velocity in trained.iter_mut().filter_map(|s| s.velocity.as_mut()) {
                velocity.fill(0.0);
            }
            self.started = false;
            return Ok(());
        }
        let expected = trained
            .iter()
            .map(|s| (s.name.as_str(), s.shape.as_slice()));
        let found = state::in_order("momentum", expected, state)?;
        for (slot, values) in trained.iter_mut().zip(found) {
            slot.velocity = Some(values.to_vec());
        }
        self.started = true;
        Ok(())
    }
}
