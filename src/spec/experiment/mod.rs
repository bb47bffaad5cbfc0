//! The experiment as the language declares it: each setting once, with its type, default, legal values, documentation and
//! the stage where it acts ([`super::setting`]). Defaults that follow from other fields are in `spec/resolve.rs`,
//! rules across fields in `spec/rules`.
//!
//! A resolved experiment has every default explicit; its canonical form is hashed into its identity. The defaults are those
//! of the official TSM and FFN scripts for Something-Something, except where the paper and its code differ: then the paper's
//! reading is the default and the code's has a name.

mod data;
mod eval;
mod method;
mod model;
mod optimizer;
mod train;

pub use data::*;
pub use eval::*;
pub use method::*;
pub use model::*;
pub use optimizer::*;
pub use train::*;

use serde::Serialize;

use super::decode::language;
use super::rules::NAME;
use super::setting::{default, of_its_type, required};
use super::stage::Stage;

language! {
    /// One experiment. Nothing in it depends on the machine: no roots, no thread counts, no device.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub struct Experiment {
        /// Letters, digits, `-`, `_` and `.`; names the run folder.
        name: String = required().text(&NAME).idle(),
        /// Of every random number in the experiment.
        seed: u64 = default(1).acts_on(Stage::SampleOrder),
        model: Model = required().acts_on(Stage::InitialWeights),
        method: Method = required().acts_on(Stage::FrameIndices),
        data: Data = required().acts_on(Stage::Data),
        train: Train = of_its_type(),
        /// Without it SGD with its defaults.
        optimizer: Optimizer = of_its_type().acts_on(Stage::Optimizer),
        schedule: Schedule = of_its_type().differs("schedule and batch", Stage::Schedule),
        eval: Eval = required(),
    }
}
