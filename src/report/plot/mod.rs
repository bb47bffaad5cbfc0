//! Figures: pure functions from what a run recorded, and what was analysed of it, to SVG.
//!
//! | figure | from |
//! |---|---|
//! | [`training_curves`], [`optimisation_curves`] | `metrics.jsonl` |
//! | [`validation_curves`] | the summaries in `eval/` |
//! | [`speed_curves`] | `timing.jsonl` |
//! | [`deviation_curve`], [`accuracy_against_gflops`] | [`crate::analysis::Surface`], or the summaries in `eval/`; the paper's values beside them |
//! | [`drift_by_layer`] | [`crate::analysis::Drift`] |
//! | [`confusion_matrix`] | [`crate::analysis::Confusion`] |
//! | [`alteration_values`] | [`crate::analysis::Alterations`] |
//!
//! A figure stands alone as a file and inline in a page: ids are its own, colours follow the page (`--fg`, `--bg`) or the
//! reader's system, and it shrinks to a phone's width. The SVG is written here and not by `plotters`, whose SVG has
//! fixed colours and can follow no theme.

mod alteration;
mod chart;
mod confusion;
mod deviation;
mod drift;
mod gather;
pub mod paper;
mod progress;
mod scale;
mod style;
mod svg;
mod training;

pub use alteration::alteration_values;
pub use confusion::confusion_matrix;
pub use deviation::{Accuracy, Deviation, Kind, Line, accuracy_against_gflops, deviation_curve};
pub use drift::{Drift, drift_by_layer};
pub use gather::{Figure, Gathered, Subject, figures};
pub use progress::{Speed, optimisation_curves, speed_curves, validation_curves};
pub use training::{Point, Training, by_epoch, training_curves};

#[cfg(test)]
mod tests;
