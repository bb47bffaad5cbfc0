//! Suites: the language, and whole suites through the binary.

mod language;
mod support;
mod whole;
