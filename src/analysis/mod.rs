//! What a run can tell about itself: where accuracy goes when the number of frames changes, and why.
//!
//! Each analysis is a [`Document`] in the run folder, `analysis/<name>.json`: sealed as the run's own documents are, and
//! with the SHA-256 of every file that it was computed from ([`Origin`]), so that one of an earlier checkpoint is
//! noticed and never shown.
//!
//! | document | content | computed from |
//! |---|---|---|
//! | `surface.json` | [`Surface`]: accuracy and operations of every frame count × branch | checkpoint, validation clips |
//! | `latency.json` | [`Latency`]: measured time of the same; the one value that a clock decides | checkpoint |
//! | `drift.json` | [`Drift`]: how far inputs of each frame count are from the norms' running statistics | checkpoint, training clips |
//! | `precise_bn.json` | [`PreciseNorms`]: accuracy before and after the statistics are estimated again | checkpoint, training and validation clips |
//! | `alteration.json` | [`Alterations`]: the learned values of each block and branch | checkpoint |
//! | `flips.json` | [`Flips`]: clips that are right at one frame count and wrong at another | predictions |
//! | `confusion.json` | [`Confusion`]: which class is taken for which, by frame count | predictions |
//! | `gains.<run>.json` | [`Gains`]: accuracy of each class against another run | predictions of both |
//!
//! Formulas and units stand with the types; [`work`] computes what a run lacks.

pub mod alteration;
pub mod document;
pub mod drift;
pub mod estimate;
pub mod interval;
pub mod latency;
pub mod precise;
pub mod predictions;
pub mod subject;
pub mod surface;
pub mod work;

pub use alteration::Alterations;
pub use document::{Content, Document, Origin};
pub use drift::Drift;
pub use latency::Latency;
pub use precise::PreciseNorms;
pub use predictions::{Confusion, Flips, Gains};
pub use subject::Subject;
pub use surface::Surface;
pub use work::{Analyses, Request};
