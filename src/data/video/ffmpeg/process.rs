//! A running `ffmpeg`: started in a group of its own, watched, ended with all that it started.

use std::ffi::OsString;
use std::io::BufReader;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::VideoError;
use super::log::Log;

/// Dropped, it is ended.
pub struct Process {
    pub stdout: BufReader<ChildStdout>,
    group: Arc<Group>,
    log: Option<JoinHandle<Log>>,
    /// A sign of life each; dropped, nobody watches any more.
    signs: Sender<()>,
    patience: Duration,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.group.kill();
        // It may have ended already; either way there is nothing left to do about it.
        let _ = self.group.wait();
    }
}

impl Process {
    /// Without a sign of life for as long as `patience`, it is ended.
    pub fn start(
        program: &str,
        arguments: &[OsString],
        patience: Duration,
    ) -> Result<Self, VideoError> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            // What it says is read: without colours, in English, and on its standard error alone.
            .env("AV_LOG_FORCE_NOCOLOR", "1")
            .env("LC_ALL", "C")
            .env_remove("FFREPORT")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => VideoError::NeedsFfmpeg {
                format: "such a file".to_owned(),
            },
            _ => failed(format!("it cannot be started: {error}")),
        })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let group = Arc::new(Group::new(child));
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            group.kill();
            return Err(failed("its output is not connected"));
        };
        let (signs, seen) = mpsc::channel();
        let watched = Arc::clone(&group);
        std::thread::spawn(move || watched.watch(&seen, patience));
        Ok(Self {
            stdout: BufReader::new(stdout),
            group,
            log: Some(std::thread::spawn(move || Log::read(stderr))),
            signs,
            patience,
        })
    }

    /// Says that it still does something.
    pub fn alive(&self) {
        // Nobody watches where it was ended; that is seen when it is read.
        let _ = self.signs.send(());
    }

    /// At the end of its output: waits for its end, and asks how it went. A message is a failure, too: by itself `ffmpeg`
    /// goes on after damage.
    pub fn finish(&mut self) -> Result<Log, VideoError> {
        let log = self.log.take().and_then(|thread| thread.join().ok());
        let log = log.unwrap_or_default();
        let status = self.group.wait().map_err(|e| failed(e.to_string()))?;
        if self.group.ended.load(Ordering::Acquire) {
            let seconds = self.patience.as_secs_f64();
            return Err(VideoError::FfmpegStopped {
                what: format!("it showed nothing for {seconds} seconds"),
            });
        }
        if let Some(signal) = signal(status) {
            return Err(VideoError::FfmpegStopped {
                what: format!("a signal ended it, number {signal}"),
            });
        }
        log.verdict(status).map(|()| log)
    }

    /// Where its output is of no use: a process that has ended says why, one that goes on is ended.
    pub fn abandon(&mut self) -> Result<(), VideoError> {
        const MOMENT: Duration = Duration::from_millis(200);
        let ended = self.group.wait_for(MOMENT);
        if ended.map_err(|e| failed(e.to_string()))?.is_some() {
            self.finish()?;
        }
        Ok(())
    }
}

fn failed(what: impl Into<String>) -> VideoError {
    VideoError::Ffmpeg { what: what.into() }
}

/// A process and what it started.
struct Group {
    state: Mutex<State>,
    /// The watch had no more patience.
    ended: AtomicBool,
}

struct State {
    child: Child,
    status: Option<ExitStatus>,
}

impl Group {
    fn new(child: Child) -> Self {
        Self {
            state: Mutex::new(State {
                child,
                status: None,
            }),
            ended: AtomicBool::new(false),
        }
    }

    /// Nothing panics under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the group where no sign comes for as long as `patience`. That is counted in parts: this process may have
    /// been held up itself, which makes one part long and no more.
    fn watch(&self, signs: &Receiver<()>, patience: Duration) {
        const PARTS: u32 = 10;
        let mut silent = 0;
        while silent < PARTS {
            match signs.recv_timeout(patience / PARTS) {
                Ok(()) => silent = 0,
                Err(RecvTimeoutError::Timeout) => silent += 1,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        self.ended.store(true, Ordering::Release);
        self.kill();
    }

    fn kill(&self) {
        let mut state = self.lock();
        if state.status.is_some() {
            return;
        }
        #[cfg(unix)]
        if let Ok(group) = i32::try_from(state.child.id()) {
            // SAFETY: sends a signal, and nothing of ours is touched. The child was not waited for, so that its number,
            // which is its group's, is no other's.
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
        // It may have ended by itself, which is as good.
        let _ = state.child.kill();
    }

    fn wait(&self) -> std::io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.wait_for(Duration::from_secs(1))? {
                return Ok(status);
            }
        }
    }

    /// Asks again and again, for to wait would lock out the watch.
    fn wait_for(&self, time: Duration) -> std::io::Result<Option<ExitStatus>> {
        const STEP: Duration = Duration::from_millis(1);
        let start = std::time::Instant::now();
        loop {
            let mut state = self.lock();
            if state.status.is_none() {
                state.status = state.child.try_wait()?;
            }
            if state.status.is_some() || start.elapsed() >= time {
                return Ok(state.status);
            }
            drop(state);
            std::thread::sleep(STEP);
        }
    }
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> Option<i32> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Read;
    use std::time::Instant;

    use super::*;

    fn shell(script: &str, patience: Duration) -> Process {
        Process::start("sh", &["-c".into(), script.into()], patience).unwrap()
    }

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(300);

    /// What it wrote, and how it ended.
    fn ended(mut process: Process) -> (String, Result<(), VideoError>) {
        let mut text = String::new();
        process.stdout.read_to_string(&mut text).unwrap();
        (text, process.finish().map(drop))
    }

    fn stopped(what: &str) -> Result<(), VideoError> {
        Err(VideoError::FfmpegStopped { what: what.into() })
    }

    #[test]
    fn one_that_hangs_is_ended_with_what_it_started() {
        for script in [
            "sleep 600",
            "sleep 600 & sleep 600",
            "printf ab; sleep 600",
            "exec >&-; sleep 600",
            "exec 2>&-; sleep 600",
        ] {
            let start = Instant::now();
            let (_, end) = ended(shell(script, SHORT));
            assert_eq!(
                end,
                stopped("it showed nothing for 0.3 seconds"),
                "{script}"
            );
            assert!(start.elapsed() < LONG, "{script}");
        }
    }

    #[test]
    fn one_that_goes_on_is_left_alone() {
        let mut process = shell(
            "for i in 1 2 3 4 5 6; do sleep 0.25; echo $i; done",
            Duration::from_secs(1),
        );
        let mut seen = Vec::new();
        let mut byte = [0];
        while process.stdout.read(&mut byte).unwrap() > 0 {
            process.alive();
            seen.extend(byte);
        }
        assert!(process.finish().is_ok());
        assert_eq!(seen, b"1\n2\n3\n4\n5\n6\n");
    }

    #[test]
    fn a_signal_is_told_from_a_failure() {
        let (_, end) = ended(shell("kill -9 $$", LONG));
        assert_eq!(end, stopped("a signal ended it, number 9"));
        let (_, end) = ended(shell("exit 3", LONG));
        assert!(matches!(end, Err(VideoError::Ffmpeg { .. })), "{end:?}");
        let none = Process::start("there-is-no-such-program", &[], LONG);
        assert!(matches!(none.err(), Some(VideoError::NeedsFfmpeg { .. })));
    }

    #[test]
    fn one_that_is_not_wanted_any_more_is_ended() {
        let start = Instant::now();
        let process = shell("while :; do echo endless; done", LONG);
        drop(process);
        assert!(start.elapsed() < LONG);
    }
}
