//! Jobs done ahead by worker threads and delivered in order.
//!
//! Job `n` is a pure function of `n`, so what is delivered does not depend on how many workers there are or which of them
//! is quicker. No job is begun that lies `window` or more ahead of the consumer: memory is bounded.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::base::{Error, Kind, Result};

/// How many threads, and how far they may be ahead.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub workers: usize,
    pub window: usize,
}

/// The results of jobs, in order. Dropping it stops the workers after the job that each is doing.
pub struct Prefetch<T> {
    shared: Arc<Shared<T>>,
    workers: Vec<JoinHandle<()>>,
    delivered: u64,
    waited: Duration,
}

struct Shared<T> {
    job: Box<dyn Fn(u64) -> Result<T> + Send + Sync>,
    window: u64,
    end: u64,
    state: Mutex<State<T>>,
    /// The consumer took a result, or the end has come.
    room: Condvar,
    /// A result is there.
    ready: Condvar,
}

struct State<T> {
    /// The next job that a worker begins.
    begun: u64,
    /// The next job that the consumer takes.
    taken: u64,
    results: BTreeMap<u64, Result<T>>,
    stopped: bool,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Begins with the jobs `jobs`.
    pub fn start(
        jobs: Range<u64>,
        limits: Limits,
        job: impl Fn(u64) -> Result<T> + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            job: Box::new(job),
            window: limits.window.max(1) as u64,
            end: jobs.end,
            state: Mutex::new(State {
                begun: jobs.start,
                taken: jobs.start,
                results: BTreeMap::new(),
                stopped: false,
            }),
            room: Condvar::new(),
            ready: Condvar::new(),
        });
        let worker = |number| {
            let shared = Arc::clone(&shared);
            let name = format!("loader {number}");
            thread::Builder::new()
                .name(name)
                .spawn(move || shared.work())
        };
        // Where the system refuses a thread the others do its work; without any, the consumer does.
        let workers = (0..limits.workers.max(1))
            .map_while(|number| worker(number).ok())
            .collect();
        Self {
            shared,
            workers,
            delivered: 0,
            waited: Duration::ZERO,
        }
    }
}

impl<T> Prefetch<T> {
    /// The next job's result; `None` after the last.
    pub fn next(&mut self) -> Option<Result<T>> {
        let began = Instant::now();
        let mut state = self.shared.lock();
        let wanted = state.taken;
        if wanted >= self.shared.end {
            return None;
        }
        let result = loop {
            if let Some(result) = state.results.remove(&wanted) {
                break result;
            }
            if self.workers.is_empty() {
                break self.shared.run(wanted);
            }
            state = wait(&self.shared.ready, state);
        };
        state.taken += 1;
        drop(state);
        self.shared.room.notify_one();
        self.delivered += 1;
        self.waited += began.elapsed();
        Some(result)
    }

    /// Results that the consumer can take without waiting.
    pub fn ready(&self) -> usize {
        let state = self.shared.lock();
        let in_turn = state.results.keys().zip(state.taken..);
        in_turn.take_while(|(number, turn)| *number == turn).count()
    }

    /// Results that were taken.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// How long the consumer waited in all.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.room.notify_all();
        for worker in self.workers.drain(..) {
            // A panic of a job was turned into an error; there is no other.
            let _ = worker.join();
        }
    }
}

impl<T> Shared<T> {
    fn work(&self) {
        while let Some(number) = self.claim() {
            let result = self.run(number);
            self.lock().results.insert(number, result);
            self.ready.notify_one();
        }
    }

    /// The next job, once there is room for its result.
    fn claim(&self) -> Option<u64> {
        let mut state = self.lock();
        loop {
            let number = state.begun;
            if state.stopped || number >= self.end {
                return None;
            }
            if number - state.taken < self.window {
                state.begun += 1;
                return Some(number);
            }
            state = wait(&self.room, state);
        }
    }

    /// A panic would leave the consumer waiting for ever: it becomes an error.
    fn run(&self, number: u64) -> Result<T> {
        catch_unwind(AssertUnwindSafe(|| (self.job)(number)))
            .unwrap_or_else(|panic| Err(panicked(number, panic.as_ref())))
    }

    /// No job runs under the lock, so a poisoned state is a whole one.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condition
        .wait(guard)
        .unwrap_or_else(PoisonError::into_inner)
}

fn panicked(number: u64, panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    Error::new(
        Kind::Data,
        format!("a loader thread failed at clip {number}: {text}"),
    )
    .hint("this is a mistake in the program; please report it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn limits(workers: usize, window: usize) -> Limits {
        Limits { workers, window }
    }

    fn all<T>(mut prefetch: Prefetch<T>) -> Vec<Result<T>> {
        std::iter::from_fn(|| prefetch.next()).collect()
    }

    #[test]
    fn results_come_in_order_for_any_number_of_workers() {
        for workers in [1, 2, 7] {
            let prefetch = Prefetch::start(3..40, limits(workers, 5), |n| {
                thread::sleep(Duration::from_micros(n * 37 % 11 * 50));
                Ok(n * n)
            });
            let found: Vec<u64> = all(prefetch).into_iter().map(|r| r.unwrap()).collect();
            assert_eq!(found, (3..40).map(|n| n * n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn nothing_is_begun_beyond_the_window() {
        let begun = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&begun);
        let mut prefetch = Prefetch::start(0..100, limits(3, 4), move |n| {
            count.fetch_max(n + 1, Ordering::SeqCst);
            Ok(n)
        });
        for taken in 0..50 {
            assert!(begun.load(Ordering::SeqCst) <= taken + 4);
            assert_eq!(prefetch.next().unwrap().unwrap(), taken);
        }
    }

    #[test]
    fn errors_and_panics_are_delivered_in_their_place() {
        let prefetch = Prefetch::start(0..4, limits(2, 2), |n| match n {
            1 => Err(Error::new(Kind::Data, "one")),
            2 => panic!("two"),
            n => Ok(n),
        });
        let found = all(prefetch);
        assert_eq!(found[0].as_ref().unwrap(), &0);
        assert_eq!(found[1].as_ref().unwrap_err().message, "one");
        assert_eq!(
            found[2].as_ref().unwrap_err().message,
            "a loader thread failed at clip 2: two"
        );
        assert_eq!(found[3].as_ref().unwrap(), &3);
    }

    #[test]
    fn dropping_stops_the_workers() {
        let done = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&done);
        let mut prefetch = Prefetch::start(0..u64::MAX, limits(2, 1000), move |n| {
            thread::sleep(Duration::from_millis(1));
            count.fetch_add(1, Ordering::SeqCst);
            Ok(n)
        });
        prefetch.next();
        drop(prefetch);
        let after = done.load(Ordering::SeqCst);
        thread::sleep(Duration::from_millis(10));
        assert_eq!(done.load(Ordering::SeqCst), after);
    }
}
