//! A running `ffmpeg`: started in a group of its own, watched, ended with all that it started.

use std::ffi::OsString;
use std::io::{BufReader, PipeReader, PipeWriter};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::VideoError;
use super::log::Log;

/// Its standard output, or another that it was given.
pub type Output = BufReader<PipeReader>;

/// How many videos one process decodes at most. More save little, for what is saved is a start of the program each, and every one is a
/// decoder, a pipe and a thread that reads it.
#[cfg(unix)]
pub const MOST: usize = 4;
/// Elsewhere a process has no outputs but its own.
#[cfg(not(unix))]
pub const MOST: usize = 1;

/// Dropped, it is ended.
pub struct Process {
    group: Arc<Group>,
    log: Option<JoinHandle<Log>>,
    signs: Signs,
    /// Dropped, nobody watches any more.
    _watched: Sender<()>,
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
    /// Starts it with `outputs` outputs, the standard output first; `arguments` are given what each is called. Without a sign of life for as
    /// long as `patience`, it is ended.
    pub fn start(
        program: &str,
        arguments: &dyn Fn(&[String]) -> Vec<OsString>,
        outputs: usize,
        patience: Duration,
    ) -> Result<(Self, Vec<Output>), VideoError> {
        let pipes: std::io::Result<Vec<_>> = (0..outputs).map(|_| std::io::pipe()).collect();
        let (outputs, inputs): (Vec<_>, Vec<_>) = pipes
            .map_err(|e| failed(e.to_string()))?
            .into_iter()
            .unzip();
        let mut command = Command::new(program);
        command
            .args(arguments(&names(&inputs)))
            // What it says is read: without colours, in English, and on its standard error alone.
            .env("AV_LOG_FORCE_NOCOLOR", "1")
            .env("LC_ALL", "C")
            .env_remove("FFREPORT")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = spawn(command, inputs);
        let mut child = child.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => VideoError::NeedsFfmpeg {
                format: "such a file".to_owned(),
            },
            _ => failed(format!("it cannot be started: {error}")),
        })?;
        let stderr = child.stderr.take();
        let group = Arc::new(Group::new(child));
        let Some(stderr) = stderr else {
            group.kill();
            return Err(failed("its output is not connected"));
        };
        let (watched, end) = mpsc::channel();
        let (signs, watching) = (Signs::default(), Arc::clone(&group));
        let seen = signs.clone();
        let watch = thread(move || watching.watch(&seen, &end, patience));
        let log = thread(move || Log::read(stderr));
        let (Ok(_), Ok(log)) = (watch, log) else {
            group.kill();
            let _ = group.wait();
            return Err(failed("the system refuses a thread that watches it"));
        };
        let process = Self {
            group,
            log: Some(log),
            signs,
            _watched: watched,
            patience,
        };
        Ok((process, outputs.into_iter().map(buffered).collect()))
    }

    /// To say that it still does something, from anywhere.
    pub fn signs(&self) -> Signs {
        self.signs.clone()
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

fn thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    std::thread::Builder::new().spawn(work)
}

/// Reads as much at once as a pipe holds, about: an image has hundreds of kilobytes, most of which are passed over.
fn buffered(output: PipeReader) -> Output {
    const BYTES: usize = 1 << 16;
    BufReader::with_capacity(BYTES, output)
}

/// What each output is called in the process: the first is its standard output, the others keep their numbers.
fn names(inputs: &[PipeWriter]) -> Vec<String> {
    let first = std::iter::once("pipe:1".to_owned());
    #[cfg(unix)]
    let others = inputs.iter().skip(1).map(|input| {
        let number = std::os::fd::AsRawFd::as_raw_fd(input);
        format!("pipe:{number}")
    });
    #[cfg(not(unix))]
    let others = inputs.iter().skip(1).map(|_| "pipe:1".to_owned());
    first.chain(others).collect()
}

/// Starts it with these outputs, which are its alone: ours are closed.
///
/// They are handed down by number. What would give them other numbers runs in a copy of this process, and to make that copy all of
/// a training's memory has to be marked.
fn spawn(mut command: Command, inputs: Vec<PipeWriter>) -> std::io::Result<Child> {
    // Between here and the end every process that is started has the outputs, too, and none of them would end before it does: one at a
    // time.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut inputs = inputs.into_iter();
    if let Some(first) = inputs.next() {
        command.stdout(first);
    }
    #[cfg(unix)]
    for input in inputs.as_slice() {
        rustix::io::fcntl_setfd(input, rustix::io::FdFlags::empty())?;
    }
    command.spawn()
}

/// Says that a process still does something. Only counted, so that nobody is woken for each image.
#[derive(Clone, Default)]
pub struct Signs(Arc<AtomicU64>);

impl Signs {
    pub fn alive(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn seen(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
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
    fn watch(&self, signs: &Signs, end: &Receiver<()>, patience: Duration) {
        const PARTS: u32 = 10;
        let (mut silent, mut seen) = (0, signs.seen());
        while silent < PARTS {
            match end.recv_timeout(patience / PARTS) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = signs.seen();
            silent = if now == seen { silent + 1 } else { 0 };
            seen = now;
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

    fn shell(script: &str, patience: Duration) -> (Process, Output) {
        let arguments = |_: &[String]| vec!["-c".into(), script.into()];
        let (process, mut outputs) = Process::start("sh", &arguments, 1, patience).unwrap();
        (process, outputs.remove(0))
    }

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(300);

    /// What it wrote, and how it ended.
    fn ended((mut process, mut output): (Process, Output)) -> (String, Result<(), VideoError>) {
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
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
        let (mut process, mut output) = shell(
            "for i in 1 2 3 4 5 6; do sleep 0.25; echo $i; done",
            Duration::from_secs(1),
        );
        let mut seen = Vec::new();
        let mut byte = [0];
        while output.read(&mut byte).unwrap() > 0 {
            process.signs().alive();
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
        let none = Process::start("there-is-no-such-program", &|_| Vec::new(), 1, LONG);
        assert!(matches!(none.err(), Some(VideoError::NeedsFfmpeg { .. })));
    }

    #[test]
    fn every_output_has_its_name() {
        let write = |(place, name): (usize, &String)| {
            let number = name.strip_prefix("pipe:").unwrap();
            format!("echo {place} > /dev/fd/{number};")
        };
        let arguments = |names: &[String]| {
            let script: String = names.iter().enumerate().map(write).collect();
            vec!["-c".into(), script.into()]
        };
        let (mut process, outputs) = Process::start("sh", &arguments, MOST, LONG).unwrap();
        for (place, mut output) in outputs.into_iter().enumerate() {
            let mut text = String::new();
            output.read_to_string(&mut text).unwrap();
            assert_eq!(text, format!("{place}\n"));
        }
        assert!(process.finish().is_ok());
    }

    #[test]
    fn one_that_is_not_wanted_any_more_is_ended() {
        let start = Instant::now();
        let process = shell("while :; do echo endless; done", LONG);
        drop(process);
        assert!(start.elapsed() < LONG);
    }
}
