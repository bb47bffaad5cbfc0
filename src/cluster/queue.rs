//! What Slurm's queue has of this user's `ffn submit`.
//!
//! An element of an array has no name of its own. Which run it computes stands in the script, which Slurm keeps and gives
//! back to the user whose it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use super::script;

/// A job, or an element of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `12`, or `12_3`.
    pub job: String,
    pub name: String,
    /// In Slurm's word, in lowercase: `running`, `pending`.
    pub state: String,
    /// Where it runs; empty where it waits.
    pub node: String,
    /// Why it waits.
    pub reason: String,
    /// The run's folder name, where it is a run of the folder that was asked for.
    pub run: Option<String>,
}

impl Entry {
    pub fn is_waiting(&self) -> bool {
        self.node.is_empty()
    }
}

/// What is queued or running of the runs in `place`, an absolute path; `None` where there is no Slurm, or none that answers.
pub fn of(place: &Path) -> Option<Vec<Entry>> {
    let format = "--format=%F|%K|%T|%N|%r|%j";
    let listed = said("squeue", &["--me", "--noheader", "--array", format])?;
    let mut scripts: BTreeMap<String, Option<script::Rows>> = BTreeMap::new();
    let mut entries = Vec::new();
    for (mut entry, element) in listed.lines().filter_map(parse) {
        let job = entry.job.clone();
        let rows = scripts.entry(job.clone()).or_insert_with(|| {
            let text = said("scontrol", &["write", "batch_script", &job, "-"])?;
            script::rows(&text)
        });
        let Some(rows) = rows.as_ref().filter(|rows| rows.is_of(place)) else {
            continue;
        };
        if let Some(element) = element {
            entry.run = rows.runs.get(&element).cloned();
            entry.job = format!("{job}_{element}");
        }
        entries.push(entry);
    }
    Some(entries)
}

/// A line of `squeue`: the entry with its array's job, and the element's number. `None` for jobs of others.
fn parse(line: &str) -> Option<(Entry, Option<u64>)> {
    let fields: Vec<&str> = line.splitn(6, '|').map(str::trim).collect();
    let [job, element, state, node, reason, name] = fields.as_slice() else {
        return None;
    };
    let entry = Entry {
        job: (*job).to_owned(),
        name: (*name).to_owned(),
        state: state.to_lowercase(),
        node: (*node).to_owned(),
        reason: (*reason).to_owned(),
        run: None,
    };
    name.starts_with(script::NAME)
        .then(|| (entry, element.parse().ok()))
}

/// What a command says; `None` where it is missing or fails.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let output = command.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_squeue_are_read() {
        let (entry, element) = parse("12|3|RUNNING|n1|None|ffn-tiny").unwrap();
        assert_eq!((entry.job.as_str(), element), ("12", Some(3)));
        assert_eq!(
            (entry.state.as_str(), entry.is_waiting()),
            ("running", false)
        );
        let (entry, element) = parse("13|N/A|PENDING||Dependency|ffn-tiny-claims").unwrap();
        assert_eq!((entry.reason.as_str(), element), ("Dependency", None));
        assert!(entry.is_waiting());
        for line in ["", "12|3|RUNNING|n1", "12|3|RUNNING|n1|None|train.sh"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
