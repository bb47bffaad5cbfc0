//! The order in which a loader reads tar files, and which of them a cache may drop: that whose next use is farthest (Belady's rule,
//! which no other beats where the order is known).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Stands for a video of which nothing is read.
pub const NONE: u32 = u32::MAX;

/// The numbers of the tar files that the jobs of an epoch read, or [`NONE`].
type Epoch = dyn Fn(u64) -> Vec<u32> + Send + Sync;

/// What a loader reads, job by job.
pub struct Route {
    epoch: Box<Epoch>,
    /// Jobs of an epoch.
    length: u64,
    /// Jobs of all epochs.
    end: u64,
    known: Mutex<BTreeMap<u64, Arc<[u32]>>>,
}

impl Route {
    /// `epochs` times `length` jobs; of epoch `e` the tar files are `epoch(e)`, which has this length.
    pub fn new(
        length: u64,
        epochs: u64,
        epoch: impl Fn(u64) -> Vec<u32> + Send + Sync + 'static,
    ) -> Self {
        Self {
            epoch: Box::new(epoch),
            length,
            end: length.saturating_mul(epochs),
            known: Mutex::default(),
        }
    }

    /// Jobs of an epoch.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// From `at` on, each use with its job, for an epoch's jobs and the rest of another: in that stretch stands all that a
    /// training reads.
    pub fn uses(&self, at: u64) -> impl Iterator<Item = (u64, usize)> + '_ {
        let first = at.checked_div(self.length).unwrap_or(0);
        let epochs = (first..first + 2).filter(|epoch| epoch * self.length < self.end);
        epochs
            .flat_map(|epoch| {
                let reads = self.of(epoch);
                let job = epoch * self.length;
                (0..reads.len()).map(move |place| (job + place as u64, reads[place]))
            })
            .filter(move |(job, read)| *job >= at && *read != NONE)
            .map(|(job, read)| (job, read as usize))
    }

    /// Of an epoch. Two neighbours are kept, of which the one moves into the other.
    fn of(&self, epoch: u64) -> Arc<[u32]> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reads) = known.get(&epoch) {
            return Arc::clone(reads);
        }
        let reads: Arc<[u32]> = (self.epoch)(epoch).into();
        known.retain(|&kept, _| kept + 1 == epoch || kept == epoch + 1);
        known.insert(epoch, Arc::clone(&reads));
        reads
    }
}

/// A file of a cache, as it is looked at for its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub bytes: u64,
    /// Jobs until its next use; `None`: nobody here says that it will be used.
    pub next: Option<u64>,
    /// Seconds since it was written.
    pub age: u64,
}

/// Which files go so that `wanted` bytes are free, by their places: first those of which no use is known, the oldest first, then the
/// one whose next use is farthest. `None` where all that may go is not enough: what is used before `until` stays, and so no file
/// is fetched ahead at the cost of one that is needed sooner.
pub fn victims(files: &[Candidate], wanted: u64, until: Option<u64>) -> Option<Vec<usize>> {
    let mut places: Vec<usize> = (0..files.len())
        .filter(|&place| match (files[place].next, until) {
            (Some(next), Some(until)) => next > until,
            _ => true,
        })
        .collect();
    places.sort_by_key(|&place| {
        let Candidate { next, age, .. } = files[place];
        std::cmp::Reverse((next.unwrap_or(u64::MAX), age))
    });
    let mut free = 0u64;
    let count = places
        .iter()
        .take_while(|&&place| {
            let is_short = free < wanted;
            free = free.saturating_add(if is_short { files[place].bytes } else { 0 });
            is_short
        })
        .count();
    places.truncate(count);
    (free >= wanted).then_some(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn route(reads: Vec<u32>) -> Route {
        Route::new(reads.len() as u64, 1, move |_| reads.clone())
    }

    /// How often a cache with room for `room` files fetches, with [`victims`].
    fn fetches(reads: &[u32], room: usize) -> usize {
        let route = route(reads.to_vec());
        let (mut held, mut count) = (Vec::new(), 0);
        for (at, read) in reads.iter().enumerate() {
            if held.contains(read) {
                continue;
            }
            count += 1;
            if held.len() == room {
                let next = |file: &u32| {
                    let mut uses = route.uses(at as u64);
                    uses.find(|(_, used)| *used == *file as usize)
                        .map(|(job, _)| job - at as u64)
                };
                let files: Vec<Candidate> = held
                    .iter()
                    .map(|file| Candidate {
                        bytes: 1,
                        next: next(file),
                        age: 0,
                    })
                    .collect();
                let gone = victims(&files, 1, None).unwrap();
                assert_eq!(gone.len(), 1);
                held.remove(gone[0]);
            }
            held.push(*read);
        }
        count
    }

    /// The fewest, whatever is dropped.
    fn fewest(reads: &[u32], room: usize, held: &BTreeSet<u32>) -> usize {
        let Some((first, rest)) = reads.split_first() else {
            return 0;
        };
        if held.contains(first) {
            return fewest(rest, room, held);
        }
        let with = |mut held: BTreeSet<u32>| {
            held.insert(*first);
            1 + fewest(rest, room, &held)
        };
        match held.len() < room {
            true => with(held.clone()),
            false => held
                .iter()
                .map(|gone| with(held.iter().copied().filter(|kept| kept != gone).collect()))
                .min()
                .unwrap(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn no_other_order_of_eviction_fetches_less(
            reads in prop::collection::vec(0u32..5, 0..14),
            room in 1usize..4,
        ) {
            prop_assert_eq!(fetches(&reads, room), fewest(&reads, room, &BTreeSet::new()));
        }

        #[test]
        fn what_goes_makes_room_and_no_more_than_needed(
            files in prop::collection::vec((0u64..9, prop::option::of(0u64..9), 0u64..9), 0..7),
            wanted in 0u64..30,
            until in prop::option::of(0u64..9),
        ) {
            let files: Vec<Candidate> = files
                .into_iter()
                .map(|(bytes, next, age)| Candidate { bytes, next, age })
                .collect();
            let may_go = |file: &&Candidate| match (file.next, until) {
                (Some(next), Some(until)) => next > until,
                _ => true,
            };
            let most: u64 = files.iter().filter(may_go).map(|file| file.bytes).sum();
            match victims(&files, wanted, until) {
                None => prop_assert!(most < wanted),
                Some(gone) => {
                    let bytes = |places: &[usize]| places.iter().map(|&p| files[p].bytes).sum::<u64>();
                    prop_assert!(gone.iter().all(|&place| may_go(&&files[place])));
                    prop_assert!(bytes(&gone) >= wanted);
                    prop_assert!(gone.is_empty() || bytes(&gone[..gone.len() - 1]) < wanted);
                }
            }
        }
    }

    #[test]
    fn uses_go_on_into_the_next_epoch_and_end_with_the_last() {
        let route = Route::new(3, 3, |epoch| vec![epoch as u32, NONE, 9]);
        let uses = |at| route.uses(at).collect::<Vec<_>>();
        assert_eq!(uses(0), [(0, 0), (2, 9), (3, 1), (5, 9)]);
        assert_eq!(uses(4), [(5, 9), (6, 2), (8, 9)]);
        assert_eq!(uses(8), [(8, 9)]);
        assert_eq!(uses(9), []);
        assert_eq!(Route::new(0, 5, |_| Vec::new()).uses(0).count(), 0);
    }
}
