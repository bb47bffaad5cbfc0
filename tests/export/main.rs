//! Files for other programs: what is in them, and what the other programs make of them.

#[path = "../support/python.rs"]
mod python;

mod cli;
mod models;
mod onnx;
mod peer;
mod pth;
mod round_trip;
