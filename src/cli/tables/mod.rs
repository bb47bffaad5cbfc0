//! What stages computed, as tables that a person reads in a terminal.

pub mod analyses;
pub mod plan;
pub mod surface;
