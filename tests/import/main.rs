//! Checkpoints of other programs: what is read, what is refused, what the commands say of it.

mod cli;
mod files;
mod formats;
mod hostile;
mod properties;
#[path = "../support/python.rs"]
mod python;
mod torch;
mod training;
