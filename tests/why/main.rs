//! `ffn why`: two experiments or runs are told apart by the first place where they part.

mod named;
mod runs;
mod support;
