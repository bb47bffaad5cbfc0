//! Faults that were found, each as a case of its kind: what closed pipes, full disks, links, odd clocks, absurd sizes and
//! signals must not do. Every program runs under limits of time and memory.
#![cfg(unix)]

#[path = "../support/program.rs"]
mod program;
#[path = "../support/skipped.rs"]
mod skipped;

mod attack;
mod folders;
mod hangs;
mod output;
mod sizes;
mod special;
mod stops;
mod support;
