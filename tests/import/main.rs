//! Checkpoints of other programs: what is read, what is refused, what the commands say of it.

#[path = "../support/limit.rs"]
mod limit;
#[path = "../support/skipped.rs"]
mod skipped;

mod cli;
mod files;
mod formats;
mod hostile;
mod properties;
#[path = "../support/python.rs"]
mod python;
mod torch;
mod training;
