//! How gradients change the parameters.

use serde::Serialize;

use crate::spec::decode::language;
use crate::spec::legal::above_zero;
use crate::spec::setting::{default, follows, of_its_type, required};
use crate::spec::stage::Stage;

language! {
    /// How gradients change the parameters.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub enum Optimizer: "an optimizer" {
        Sgd(Sgd = required()),
        AdamW(AdamW = required()),
    }

    /// SGD with momentum as PyTorch's: d ← g + wd·p; v ← m·v + d (in the first step v = d); p ← p − lr·v.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub struct Sgd {
        lr: f64 = default(0.01).number(above_zero(100.0)).acts_on(Stage::Optimizer),
        momentum: f64 = default(0.9).number(0.0..1.0),
        /// p ← p − lr·(d + m·v) instead.
        // Younger than experiments whose identity is this text without it.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        nesterov: bool = default(false).differs("Nesterov's momentum", Stage::Optimizer),
        weight_decay: f64 = default(5e-4).number(0.0..=1.0),
        /// `None`: no clipping.
        clip: Option<Clip> = default(Some(of_its_type().stand_in)).differs("gradient clipping", Stage::Optimizer),
        groups: Groups = of_its_type().differs("learning rates", Stage::Optimizer),
    }

    /// AdamW as PyTorch's (Loshchilov and Hutter, 2019): p ← p·(1 − lr·wd); then Adam's step, with bias correction, of one rate for all
    /// parameters.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub struct AdamW {
        lr: f64 = default(1e-3).number(above_zero(100.0)).acts_on(Stage::Optimizer),
        beta1: f64 = default(0.9).number(0.0..1.0).acts_on(Stage::Optimizer),
        beta2: f64 = default(0.999).number(0.0..1.0).acts_on(Stage::Optimizer),
        /// Beside the root of the second moment.
        eps: f64 = default(1e-8).number(above_zero(1.0)).acts_on(Stage::Optimizer),
        weight_decay: f64 = default(0.05).number(0.0..=1.0),
        /// Whether parameters of one dimension decay: norms and biases.
        decay_1d: bool = default(false).differs("decay of norms and biases", Stage::Optimizer),
        /// `None`: no clipping.
        clip: Option<Clip> = default(Some(of_its_type().stand_in)).differs("gradient clipping", Stage::Optimizer),
    }

    /// Gradients are scaled down so that their total L2 norm is at most `norm`.
    #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
    pub struct Clip {
        norm: f64 = default(20.0).number(above_zero(1e9)),
        /// Each gradient is cut to ± this first. `None`: none is.
        // Younger than experiments whose identity is this text without it.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<f64> = default(None).number(above_zero(1e9)),
        /// Whether it applies under mixed precision (in the official code it does not).
        under_mixed: bool = default(true),
    }

    /// Multipliers of rate and decay for each kind of parameter.
    #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
    pub struct Groups {
        first_conv: Group = follows("like `conv`"),
        conv: Group = default(Group::new(1.0, 1.0)),
        alteration: Group = follows("like `conv`"),
        norm: Group = default(Group::new(1.0, 0.0)),
        classifier_weight: Group = default(Group::new(5.0, 1.0)),
        classifier_bias: Group = default(Group::new(10.0, 0.0)),
    }

    /// What the rate and the decay of a kind of parameter are multiplied by.
    #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
    pub struct Group {
        lr: f64 = required().number(0.0..=1000.0),
        decay: f64 = required().number(0.0..=1000.0),
    }

    /// The learning rate over time.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub struct Schedule {
        shape: ScheduleShape = default(ScheduleShape::MultiStep { milestones: vec![20.0, 40.0], gamma: 0.1 }),
        warmup: Option<Warmup> = default(None).differs("schedule and batch", Stage::Optimizer),
        step: ScheduleStep = default(ScheduleStep::Epoch),
    }

    /// The learning rate after warm-up.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub enum ScheduleShape: "a schedule" {
        /// The rate is multiplied by `gamma` at each of these epochs.
        MultiStep {
            /// Ascending, inside training.
            milestones: Vec<f64> = required(),
            gamma: f64 = required().number(above_zero(1.0)),
        },
        /// Half a cosine from the rate to `last` times the rate at the end of training.
        Cosine {
            last: f64 = required().number(0.0..=1.0),
        },
    }

    /// Linear from `from` times the rate to the rate over the first `epochs`.
    #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
    pub struct Warmup {
        epochs: f64 = required(),
        from: f64 = required().number(0.0..=1.0),
    }

    /// How often the rate changes.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub enum ScheduleStep: "a step of the schedule" {
        /// The rate is that of the epoch's start.
        Epoch,
        /// The rate follows every iteration.
        Iteration,
    }
}

impl Optimizer {
    /// The rate that the schedule multiplies.
    pub fn lr(&self) -> f64 {
        match self {
            Optimizer::Sgd(sgd) => sgd.lr,
            Optimizer::AdamW(adam) => adam.lr,
        }
    }

    pub fn lr_mut(&mut self) -> &mut f64 {
        match self {
            Optimizer::Sgd(sgd) => &mut sgd.lr,
            Optimizer::AdamW(adam) => &mut adam.lr,
        }
    }

    pub fn weight_decay(&self) -> f64 {
        match self {
            Optimizer::Sgd(sgd) => sgd.weight_decay,
            Optimizer::AdamW(adam) => adam.weight_decay,
        }
    }

    pub fn clip(&self) -> Option<Clip> {
        match self {
            Optimizer::Sgd(sgd) => sgd.clip,
            Optimizer::AdamW(adam) => adam.clip,
        }
    }

    pub fn clip_mut(&mut self) -> &mut Option<Clip> {
        match self {
            Optimizer::Sgd(sgd) => &mut sgd.clip,
            Optimizer::AdamW(adam) => &mut adam.clip,
        }
    }

    /// How many moments it keeps of each parameter's gradients.
    pub fn moments(&self) -> usize {
        match self {
            Optimizer::Sgd(_) => 1,
            Optimizer::AdamW(_) => 2,
        }
    }
}

impl Group {
    pub const fn new(lr: f64, decay: f64) -> Self {
        Self { lr, decay }
    }
}
