//! CUDA: what of it a machine has.

pub mod libraries;
pub mod probe;
