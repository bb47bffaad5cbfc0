//! Jobs done ahead by worker threads and delivered in order.
//!
//! Job `n` is a pure function of `n`, so what is delivered does not depend on how many workers there are, which of them
//! is quicker, or which jobs are done together. No job is begun that lies `window` or more ahead of the consumer: memory is bounded.

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
    /// How many neighbouring jobs a thread does together. Fewer where the window has no room for as many on each thread.
    pub together: usize,
}

impl Limits {
    fn group(&self) -> u64 {
        let room = self.window / self.workers.max(1);
        self.together.min(room).max(1) as u64
    }
}

/// The results of jobs, in order. Dropping it stops the workers after the job that each is doing.
pub struct Prefetch<T> {
    shared: Arc<Shared<T>>,
    workers: Vec<JoinHandle<()>>,
    delivered: u64,
    waited: Duration,
}

struct Shared<T> {
    jobs: Box<dyn Fn(Range<u64>) -> Vec<Result<T>> + Send + Sync>,
    window: u64,
    group: u64,
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
    /// Does the jobs `numbers`. `jobs` has a result for each of its range, in their order.
    pub fn start(
        numbers: Range<u64>,
        limits: Limits,
        jobs: impl Fn(Range<u64>) -> Vec<Result<T>> + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            jobs: Box::new(jobs),
            window: limits.window.max(1) as u64,
            group: limits.group(),
            end: numbers.end,
            state: Mutex::new(State {
                begun: numbers.start,
                taken: numbers.start,
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
                break self.shared.alone(wanted);
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
        self.shared.lock().ready()
    }

    /// Whether the next `count` results are there, or all that are left, after waiting no longer than `time`.
    pub fn wait_for(&mut self, count: usize, time: Duration) -> bool {
        let began = Instant::now();
        let mut state = self.shared.lock();
        let count = (self.shared.end - state.taken).min(count as u64) as usize;
        // Where the consumer does the work nothing comes by itself.
        let mut is_there = self.workers.is_empty() || state.ready() >= count;
        while !is_there && let Some(left) = time.checked_sub(began.elapsed()) {
            let waited = self.shared.ready.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            is_there = state.ready() >= count;
        }
        drop(state);
        self.waited += began.elapsed();
        is_there
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

impl<T> State<T> {
    fn ready(&self) -> usize {
        let in_turn = self.results.keys().zip(self.taken..);
        in_turn.take_while(|(number, turn)| *number == turn).count()
    }
}

impl<T> Shared<T> {
    fn work(&self) {
        while let Some(numbers) = self.claim() {
            let results = self.run(numbers.clone());
            self.lock().results.extend(numbers.zip(results));
            self.ready.notify_one();
        }
    }

    /// The next jobs, once there is room for their results.
    fn claim(&self) -> Option<Range<u64>> {
        let mut state = self.lock();
        loop {
            let number = state.begun;
            if state.stopped || number >= self.end {
                return None;
            }
            let behind = self.end.min(number.saturating_add(self.group));
            if behind - state.taken <= self.window {
                state.begun = behind;
                return Some(number..behind);
            }
            state = wait(&self.room, state);
        }
    }

    fn alone(&self, number: u64) -> Result<T> {
        let result = self.run(number..number + 1).pop();
        result.unwrap_or_else(|| Err(panicked(number, &MISSING)))
    }

    /// A panic, or a result that is missing, would leave the consumer waiting for ever: it becomes an error of every job.
    fn run(&self, numbers: Range<u64>) -> Vec<Result<T>> {
        let all = |panic: &(dyn Any + Send)| {
            let error = |number| Err(panicked(number, panic));
            numbers.clone().map(error).collect()
        };
        let done = catch_unwind(AssertUnwindSafe(|| (self.jobs)(numbers.clone())));
        match done {
            Ok(results) if results.len() as u64 == numbers.end - numbers.start => results,
            Ok(_) => all(&MISSING),
            Err(panic) => all(panic.as_ref()),
        }
    }

    /// No job runs under the lock, so a poisoned state is a whole one.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const MISSING: &str = "a result is missing";

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
        Limits {
            workers,
            window,
            together: 1,
        }
    }

    /// Jobs that have nothing to do with one another.
    fn start(
        numbers: Range<u64>,
        limits: Limits,
        job: impl Fn(u64) -> Result<u64> + Send + Sync + 'static,
    ) -> Prefetch<u64> {
        Prefetch::start(numbers, limits, move |numbers| numbers.map(&job).collect())
    }

    fn all<T>(mut prefetch: Prefetch<T>) -> Vec<Result<T>> {
        std::iter::from_fn(|| prefetch.next()).collect()
    }

    #[test]
    fn results_come_in_order_for_any_number_of_workers() {
        for workers in [1, 2, 7] {
            let prefetch = start(3..40, limits(workers, 5), |n| {
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
        let mut prefetch = start(0..100, limits(3, 4), move |n| {
            count.fetch_max(n + 1, Ordering::SeqCst);
            Ok(n)
        });
        for taken in 0..50 {
            assert!(begun.load(Ordering::SeqCst) <= taken + 4);
            assert_eq!(prefetch.next().unwrap().unwrap(), taken);
        }
    }

    #[test]
    fn jobs_are_done_together_where_there_is_room() {
        for (workers, window, together) in [(1, 5, 3), (2, 8, 3), (3, 2, 4), (2, 16, 8)] {
            let limits = Limits {
                workers,
                window,
                together,
            };
            let largest = Arc::new(AtomicU64::new(0));
            let seen = Arc::clone(&largest);
            let prefetch = Prefetch::start(3..40, limits, move |numbers| {
                seen.fetch_max(numbers.end - numbers.start, Ordering::SeqCst);
                numbers.map(Ok).collect()
            });
            let found: Vec<u64> = all(prefetch).into_iter().map(|r| r.unwrap()).collect();
            assert_eq!(found, (3..40).collect::<Vec<_>>());
            let expected = together.min(window / workers).max(1) as u64;
            assert_eq!(largest.load(Ordering::SeqCst), expected);
        }
    }

    #[test]
    fn one_waits_for_results_no_longer_than_one_wants() {
        const MOMENT: Duration = Duration::from_millis(20);
        const LONG: Duration = Duration::from_secs(60);
        let mut prefetch = start(0..5, limits(1, 4), |n| {
            thread::sleep(if n == 2 {
                Duration::from_millis(500)
            } else {
                Duration::ZERO
            });
            Ok(n)
        });
        assert!(prefetch.wait_for(2, LONG));
        assert!(!prefetch.wait_for(3, MOMENT));
        assert!(prefetch.wait_for(3, LONG));
        let found: Vec<u64> = (0..4).map(|_| prefetch.next().unwrap().unwrap()).collect();
        assert_eq!(found, [0, 1, 2, 3]);
        // One is left.
        assert!(prefetch.wait_for(3, LONG));
        prefetch.next();
        assert!(prefetch.wait_for(3, MOMENT));
    }

    #[test]
    fn results_that_are_missing_are_errors() {
        let limits = Limits {
            workers: 1,
            window: 4,
            together: 2,
        };
        let prefetch: Prefetch<u64> = Prefetch::start(0..2, limits, |_| vec![Ok(1)]);
        let found = all(prefetch);
        assert!(found.iter().all(Result::is_err) && found.len() == 2);
    }

    #[test]
    fn errors_and_panics_are_delivered_in_their_place() {
        let prefetch = start(0..4, limits(2, 2), |n| match n {
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
        let mut prefetch = start(0..u64::MAX, limits(2, 1000), move |n| {
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
