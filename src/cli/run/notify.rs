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
        match outcome {
            Ok(summaries) => self.tell("finished", name, folder, &results(name, summaries)),
            Err(error) => self.failed(name, folder, error),
        }
    }

    /// Tells that a run ended by an error, or could not begin.
    pub fn failed(&self, name: &str, folder: &Path, error: &Error) {
        let message = format!("{name}: {}", error.message);
        self.tell(event(error), name, folder, &message);
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
        // Of a run that could not begin there is none.
        let folder = std::path::absolute(folder)
            .ok()
            .filter(|folder| folder.exists());
        let folder = folder.unwrap_or_default();
        let mut command = shell(text);
        command
            .env("FFN_EVENT", event)
            // What holds a zero byte is no value of an environment.
            .env("FFN_NAME", name.replace('\0', ""))
            .env("FFN_FOLDER", folder)
            .env("FFN_MESSAGE", one_line(message))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let child = command.spawn().map_err(|e| format!("cannot start: {e}"));
        // The command itself is not told: it may hold a password.
        if let Err(what) = child.and_then(wait) {
            terminal::say(format_args!("warning: the command of --notify {what}"));
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

/// One line that an environment holds: errors may have many.
fn one_line(message: &str) -> String {
    const LONGEST: usize = 4096;
    let lines: Vec<&str> = message.lines().map(str::trim).collect();
    let line = lines.join(" ");
    let signs = line.chars().filter(|sign| *sign != '\0');
    signs.take(LONGEST).collect()
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
    // What the shell starts is ended with it.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

#[cfg(not(unix))]
fn shell(text: &str) -> Command {
    let mut command = Command::new("cmd");
    command.arg("/C");
    #[cfg(windows)]
    std::os::windows::process::CommandExt::raw_arg(&mut command, text);
    #[cfg(not(windows))]
    command.arg(text);
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
                end(&mut child);
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

/// Kills the shell and what it started.
fn end(child: &mut Child) {
    #[cfg(unix)]
    if let Ok(group) = i32::try_from(child.id()) {
        // SAFETY: sends a signal, and nothing of ours is touched. The child was not waited for, so that its number, which is its
        // group's, is no other's.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
    // It may have ended by itself, which is as good.
    let _ = child.kill();
}
