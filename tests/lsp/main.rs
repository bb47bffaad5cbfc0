//! The language server: what an editor gets from it, and that no text and no message ends it.

#[path = "../support/limit.rs"]
mod limit;

mod client;
mod completion;
mod diagnostics;
mod hover;
mod lifecycle;
mod properties;
