//! `--notify`: a command of the user's that hears how a run ended, and what became of a suite's claims.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::base::{Error, Kind, Result, count, terminal};
use crate::data::config::Config;
use crate::run::results::Summary;
use crate::suite::{Judged, Verdict};

/// A command that takes longer is ended.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Default, clap::Args)]
pub struct NotifyOptions {
    /// Command that a shell starts when a run ends, fails or is stopped, and when a suite's claims are judged; it finds
    /// FFN_EVENT (finished, failed, diverged, stopped, judged), FFN_NAME, FFN_FOLDER and FFN_MESSAGE in its environment.
    /// Without it `notify` of the configuration file; empty: none.
    #[arg(long, value_name = "COMMAND")]
    notify: Option<String>,
}

/// Who is told.
#[derive(Debug)]
pub struct Notifier {
    command: Option<String>,
}

impl NotifyOptions {
    /// The flag's command, else that of the configuration file.
    pub fn notifier(&self) -> Result<Notifier> {
        let command = match &self.notify {
            Some(command) => Some(command.clone()),
            None => Config::read()?.notify,
        };
        Ok(Notifier {
            command: command.filter(|command| !command.trim().is_empty()),
        })
    }
}

impl Notifier {
    /// Tells how a run ended.
    pub fn ended(&self, name: &str, folder: &Path, outcome: &Result<Vec<Summary>>) {
        let (event, message) = match outcome {
            Ok(summaries) => ("finished", results(name, summaries)),
            Err(error) => (event(error), format!("{name}: {}", error.message)),
        };
        self.tell(event, name, folder, &message);
    }

    /// Tells what became of a suite's claims.
    pub fn judged(&self, name: &str, folder: &Path, judged: &[Judged]) {
        let of = |verdict: Verdict| {
            let count = judged.iter().filter(|one| one.verdict == verdict).count();
            format!("{count} {}", verdict.word())
        };
        let verdicts = [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive].map(of);
        let message = format!(
            "{name}: of {} {}",
            count(judged.len(), "claim"),
            verdicts.join(", ")
        );
        self.tell("judged", name, folder, &message);
    }

    /// What goes wrong with the command is said, and changes nothing for the run.
    fn tell(&self, event: &str, name: &str, folder: &Path, message: &str) {
        let Some(text) = &self.command else { return };
        let folder = std::path::absolute(folder).unwrap_or(folder.to_owned());
        let mut command = shell(text);
        command
            .env("FFN_EVENT", event)
            // What holds a zero byte is no value of an environment.
            .env("FFN_NAME", name.replace('\0', ""))
            .env("FFN_FOLDER", folder)
            .env("FFN_MESSAGE", message.replace('\0', ""))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let outcome = command.spawn().map_err(|e| e.to_string()).and_then(wait);
        if let Err(what) = outcome {
            terminal::say(format_args!(
                "warning: the command of --notify {what}: {text}"
            ));
        }
    }
}

/// `tsm: 45.21 % at 4, 94.58 % at 8 frames`
fn results(name: &str, summaries: &[Summary]) -> String {
    let results = summaries.iter();
    let results = results.map(|s| format!("{:.2} % at {}", s.top1_percent(), s.frames));
    let results: Vec<String> = results.collect();
    format!("{name}: {} frames", results.join(", "))
}

fn event(error: &Error) -> &'static str {
    match error.kind {
        Kind::Stopped => "stopped",
        Kind::Diverged => "diverged",
        _ => "failed",
    }
}

#[cfg(unix)]
fn shell(text: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", text]);
    command
}

#[cfg(not(unix))]
fn shell(text: &str) -> Command {
    let mut command = Command::new("cmd");
    command.args(["/C", text]);
    command
}

/// Waits until it ends; what was wrong with it.
fn wait(mut child: Child) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("ended with {status}")),
            Ok(None) if begun.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!(
                    "took more than {} s and was ended",
                    LIMIT.as_secs()
                ));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}
