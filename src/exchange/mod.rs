//! Weights of other programs, in and out.
//!
//! [`write`] makes the files that other programs read: safetensors and PyTorch checkpoints.

pub mod write;
