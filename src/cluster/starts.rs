//! Runs that a queue starts again and again and that never come to a next step.

use crate::base::{Error, Kind, Result};
use crate::run::Folder;
use crate::run::history::{History, Outcome};

/// So many starts without a step that was kept are the last that a queue makes by itself.
pub const MOST: usize = 3;

/// How often Slurm has put this job back into the queue. `None` outside Slurm and at a job's first start: a person who
/// submits again, or types the command, is never refused.
pub fn restarts() -> Option<usize> {
    std::env::var("SLURM_RESTART_COUNT").ok()?.parse().ok()
}

/// Refuses the next start of a run that a queue has started `restarts` times more than once, and whose last starts kept
/// no step.
pub fn check(folder: &Folder, restarts: usize) -> Result<()> {
    if restarts < MOST {
        return Ok(());
    }
    let (fruitless, at) = match folder.exists() {
        // None came so far that it had a folder.
        false => (restarts, "it has not begun".to_owned()),
        true => {
            let (history, steps) = (folder.history()?, folder.manifest()?.steps);
            let done = history.processes.last().map_or(0, |last| last.to_step);
            // Each evaluation that is done is kept: after the last step a start that makes no step may still get further.
            let evaluations = match done >= steps {
                true => folder.experiment()?.eval.frames.len(),
                false => 0,
            };
            let fruitless = fruitless(&history).saturating_sub(evaluations);
            (fruitless, format!("it is at step {done} of {steps}"))
        }
    };
    match fruitless < MOST {
        true => Ok(()),
        false => Err(refusal(folder, at)),
    }
}

fn refusal(folder: &Folder, at: String) -> Error {
    Error::new(
        Kind::Run,
        format!(
            "the last {MOST} starts of `{}` kept no step, and the queue would start it for ever: {at}",
            folder.name()
        ),
    )
    .hint(
        "its log and the job's output say how far they came. Give it more time (`ffn submit --time`), an earlier warning \
         (`--grace`) or more checkpoints (`-- --checkpoint-minutes 2`): the same `ffn submit` starts it again, and so \
         does `ffn run` by hand",
    )
}

/// How many of the last processes kept no step, one after another.
fn fruitless(history: &History) -> usize {
    let last = history.processes.iter().rev();
    last.take_while(|process| {
        process.from_step == process.to_step && process.outcome != Outcome::Finished
    })
    .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::history::Process;

    fn history(steps: &[(u64, u64)]) -> History {
        let process = |&(from_step, to_step): &(u64, u64)| Process {
            started: String::new(),
            ended: None,
            outcome: Outcome::Stopped,
            from_step,
            to_step,
            threads: 1,
            workers: 1,
            build: 0,
            machine: 0,
            experiment_folder: Default::default(),
        };
        History {
            processes: steps.iter().map(process).collect(),
            ..History::default()
        }
    }

    #[test]
    fn starts_without_a_step_are_counted_from_the_last() {
        assert_eq!(fruitless(&history(&[])), 0);
        assert_eq!(fruitless(&history(&[(0, 0), (0, 5), (5, 5)])), 1);
        assert_eq!(fruitless(&history(&[(0, 5), (5, 5), (5, 5), (5, 5)])), 3);
        assert_eq!(fruitless(&history(&[(5, 5), (5, 5), (5, 9)])), 0);
    }

    #[test]
    fn what_never_began_is_left_alone_after_three_starts() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::at(place.path().join("run"));
        check(&folder, 2).unwrap();
        let error = check(&folder, 3).unwrap_err();
        assert_eq!(error.kind, Kind::Run);
        assert!(error.message.contains("has not begun"), "{error}");
    }
}
