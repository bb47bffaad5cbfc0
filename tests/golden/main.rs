//! Golden bundles: that they agree, that the verifier can fail, what is recorded, and what PyTorch writes.

#[path = "../support/limit.rs"]
mod limit;
#[path = "../support/skipped.rs"]
mod skipped;

mod agree;
mod hostile;
#[path = "../support/python.rs"]
mod python;
mod pytorch;
mod record;
mod support;
mod verify;
