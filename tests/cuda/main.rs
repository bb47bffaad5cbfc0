//! CUDA, as far as it can be held to anything without a GPU.

#[path = "../support/networks.rs"]
mod networks;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/skipped.rs"]
mod skipped;

mod gpu;
mod devices;
mod emulated;
mod engine;
mod graph;
mod input;
mod kernels;
mod plan;
mod learning;
