//! What is made of runs: the book, tables, metrics for other programs.

#[path = "../support/program.rs"]
mod program;
#[path = "../support/skipped.rs"]
mod skipped;
#[path = "../support/python.rs"]
mod python;
#[path = "../support/webdriver.rs"]
mod webdriver;

mod browser;
mod injection;
mod links;
mod live;
mod metrics;
mod mistakes;
mod numbers;
mod support;
mod tables;
mod whole;
