//! Weights of other programs, in and out.
//!
//! [`read`] takes tensors out of the files that people have and trusts nothing in them; [`mapping`] says which of them
//! is which parameter of ours. [`mod@write`] makes the files that other programs read: safetensors and PyTorch checkpoints;
//! [`onnx`] makes models that they run.

pub mod mapping;
pub mod read;
pub mod write;
pub mod onnx;
