//! Independent pieces of work, several at a time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does the work of every item: `jobs` of them at a time, the largest first, so that no job is left alone with a large one at
/// the end; one after another in their order. Gives the outcomes in the items' order.
pub fn run<T: Sync, R: Send>(
    items: &[T],
    sizes: &[f64],
    jobs: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    if jobs < 2 {
        return items.iter().map(work).collect();
    }
    let size = |index: &usize| sizes.get(*index).copied().unwrap_or_default();
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by(|a, b| size(b).total_cmp(&size(a)));
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let take = || {
        while let Some((index, item)) = {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            let index = order.get(turn).copied();
            index.and_then(|index| Some((index, items.get(index)?)))
        } {
            let outcome = work(item);
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
    fn the_largest_come_first() {
        let begun = Mutex::new(Vec::new());
        let sizes = [1.0, 0.0, 9.0, 4.0];
        // One of two waits until the others are done.
        run(&[0, 1, 2, 3], &sizes, 2, |&item| {
            begun.lock().unwrap().push(item);
            while item == 2 && begun.lock().unwrap().len() < 4 {
                std::thread::yield_now();
            }
        });
        let begun = begun.into_inner().unwrap();
        let others: Vec<usize> = begun.into_iter().filter(|&item| item != 2).collect();
        assert_eq!(others, [3, 0, 1]);
    }

    #[test]
    fn outcomes_keep_their_order() {
        let items: Vec<usize> = (0..20).collect();
        let sizes: Vec<_> = items.iter().map(|&i| (i % 3) as f64).collect();
        for jobs in [1, 2, 3, 50] {
            let slow_first = |item: &usize| {
                std::thread::sleep(std::time::Duration::from_millis(20 - *item as u64));
                item * item
            };
            let squares: Vec<usize> = items.iter().map(|item| item * item).collect();
            assert_eq!(run(&items, &sizes, jobs, slow_first), squares);
        }
    }
}
