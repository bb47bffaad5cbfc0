//! Suites: several runs, what is compared with what, and the claims that the comparison settles.
//!
//! A suite's folder stands beside those of its runs, `<name>-<first 8 of its identity>/`:
//!
//! | path | content |
//! |---|---|
//! | `suite.ron` | the resolved suite; its SHA-256 is the identity |
//! | `suite.json` | [`Record`]: the members and their run folders; sealed |
//! | `verdicts.json` | a list of [`Judged`], one for each claim in the suite's order |
//! | `lock` | who works on the suite; locked while a process does |
//!
//! [`judge()`] holds claims against runs; [`bootstrap`] has the statistics. [`verify`] does all of it again.

pub mod bootstrap;
pub mod evidence;
pub mod folder;
pub mod judge;
pub mod record;
mod sentence;
pub mod verify;

pub use judge::{conclude, judge};
pub use record::{Expected, Judged, MemberRun, Record, Unit, Verdict};
pub use sentence::{bound, finding};
