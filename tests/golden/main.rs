//! Golden bundles: that they agree, that the verifier can fail, what is recorded, and what PyTorch writes.

mod agree;
mod hostile;
#[path = "../support/python.rs"]
mod python;
mod pytorch;
mod record;
mod support;
mod verify;
