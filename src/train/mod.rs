//! Optimiser, schedule, loop, checkpoint, evaluation; how a run is opened for it.

pub mod adopt;
pub mod average;
pub mod checkpoint;
pub mod circumstances;
pub mod evaluate;
pub mod first_step;
pub mod follower;
pub mod learner;
pub mod machine;
pub mod opening;
pub mod optimizer;
pub mod progress;
pub mod rates;
pub mod schedule;
pub mod selection;
pub mod session;
pub mod sharing;
pub mod stop;
pub mod sum;
pub mod team;
pub mod wire;

pub use optimizer::Optimizer;
pub use session::{Job, Session};
