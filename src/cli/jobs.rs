//! Independent pieces of work, several at a time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does the work of every item, given with its index: `jobs` of them at a time, begun in their order. Gives the
/// outcomes in the same order.
pub fn run<T: Sync, R: Send>(
    items: &[T],
    jobs: usize,
    work: impl Fn(usize, &T) -> R + Sync,
) -> Vec<R> {
    if jobs < 2 {
        let numbered = items.iter().enumerate();
        return numbered.map(|(index, item)| work(index, item)).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let take = || {
        while let Some((index, item)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            items.get(index).map(|item| (index, item))
        } {
            let outcome = work(index, item);
            let mut done = done.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            done.push((index, outcome));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(take);
        }
    });
    let mut done = done
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_keep_their_order() {
        let items: Vec<usize> = (0..20).collect();
        for jobs in [1, 2, 3, 50] {
            let slow_first = |_, item: &usize| {
                std::thread::sleep(std::time::Duration::from_millis(20 - *item as u64));
                item * item
            };
            let squares: Vec<usize> = items.iter().map(|item| item * item).collect();
            assert_eq!(run(&items, jobs, slow_first), squares);
        }
    }
}
