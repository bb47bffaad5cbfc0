//! Files for other programs: what is in them, and what the other programs make of them.

#[path = "../support/limit.rs"]
mod limit;
#[path = "../support/skipped.rs"]
mod skipped;

#[path = "../support/python.rs"]
mod python;

mod cli;
mod models;
mod onnx;
mod operators;
mod peer;
mod pth;
mod round_trip;
