//! What a test starts ends in time, or the test fails and says what hung, with what it had said until then.
#![allow(dead_code, reason = "no test binary needs all of it")]

use std::fmt::Debug;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

/// Several times what the slowest program of these tests takes (all goldens, little optimised, on two busy cores): what
/// takes longer hangs.
pub const TIME: Duration = Duration::from_secs(600);

/// How long is waited for the rest of the output of a program that was killed.
const REST: Duration = Duration::from_secs(2);

/// A program that is waited for [`TIME`] at most.
pub trait InTime {
    /// How it ended and what it said; instead of `output` and `wait_with_output`.
    fn in_time(self) -> Output;
}

impl InTime for &mut Command {
    #[track_caller]
    fn in_time(self) -> Output {
        self.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        within(TIME, self)
    }
}

impl InTime for Child {
    #[track_caller]
    fn in_time(self) -> Output {
        let name = format!("process {}", self.id());
        collect(self, &name, TIME)
    }
}

/// Runs a program with the streams that it was given. What is not piped is not in the output.
#[track_caller]
pub fn within(time: Duration, command: &mut Command) -> Output {
    let child = command.spawn().unwrap();
    collect(child, command, time)
}

/// Waits until a condition holds, [`TIME`] at most.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + TIME;
    while !holds() {
        assert!(Instant::now() < limit, "{what}: not within {TIME:?}");
        sleep(Duration::from_millis(1));
    }
}

#[track_caller]
fn collect(mut child: Child, name: &dyn Debug, time: Duration) -> Output {
    let limit = Instant::now() + time;
    let stdout = child.stdout.take().map(read);
    let stderr = child.stderr.take().map(read);
    let status = ended(&mut child, limit);
    if status.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // A program that it started may hold the pipes open.
    let rest = limit.max(Instant::now() + REST);
    let [(stdout, closed), (stderr, also_closed)] =
        [stdout, stderr].map(|pipe| pipe.map_or((Vec::new(), true), |pipe| all(&pipe, rest)));
    let said = || [&stdout, &stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    match status {
        Some(status) if closed && also_closed => Output {
            status,
            stdout,
            stderr,
        },
        Some(status) => {
            panic!(
                "{name:?} ended with {status}, and what it started held its output open for {time:?}"
            )
        }
        None => {
            let [stdout, stderr] = said();
            panic!("{name:?} took longer than {time:?}\nstdout:\n{stdout}\nstderr:\n{stderr}")
        }
    }
}

fn ended(child: &mut Child, limit: Instant) -> Option<ExitStatus> {
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return Some(status),
            None if Instant::now() >= limit => return None,
            None => sleep(pause),
        }
        pause = (2 * pause).min(Duration::from_millis(20));
    }
}

/// What comes through a pipe, in pieces; the sender goes when it is closed.
fn read(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    spawn(move || {
        let mut piece = vec![0; 1 << 16];
        while let Ok(length @ 1..) = pipe.read(&mut piece) {
            if sender.send(piece[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// All of a pipe until `limit`, and whether it was closed until then.
fn all(pipe: &Receiver<Vec<u8>>, limit: Instant) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        match pipe.recv_timeout(limit.saturating_duration_since(Instant::now())) {
            Ok(piece) => bytes.extend(piece),
            Err(RecvTimeoutError::Disconnected) => return (bytes, true),
            Err(RecvTimeoutError::Timeout) => return (bytes, false),
        }
    }
}
