//! The experiment language: what a person sees of it, and what holds for every experiment and every text.

#[path = "../support/limit.rs"]
mod limit;

mod arbitrary;
mod cli;
mod properties;
