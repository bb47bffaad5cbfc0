//! A language server: what an editor shows of an experiment while it is written.
//!
//! The editor starts `ffn lsp` and speaks the Language Server Protocol on its standard input and output. Mistakes are those
//! of `ffn check`, documentation and completions are read from the declarations of the language: nothing is said here that
//! is not said there.

mod completion;
mod documents;
mod files;
mod findings;
mod lines;
mod server;
mod told;
mod wire;

pub use completion::{Known, completions};
pub use lines::{Encoding, Lines};
pub use server::serve;
pub use told::hover;
