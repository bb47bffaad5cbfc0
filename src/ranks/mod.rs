//! Processes that compute one run together, and the messages between them.
//!
//! Which process is which is found, not configured: [`World::here`] reads what `mpirun`, `srun` and `torchrun` tell each of theirs. A message is
//! bytes; how they travel is a [`Transport`]. Nothing here adds anything up: the order of sums is the caller's, so that it does not depend on
//! a library.

mod local;
mod mpi;
mod tcp;
mod world;

pub use local::in_process;
pub use mpi::found as mpi_libraries;
pub use world::{World, own_gpu};

use crate::base::{Error, Kind, Result};

/// How messages travel between ranks. Each receives what the other sent, in its order.
pub trait Transport {
    /// For a person: `MPI (libmpi.so.40)`.
    fn name(&self) -> String;

    fn send(&mut self, to: usize, bytes: &[u8]) -> Result<()>;

    fn receive(&mut self, from: usize) -> Result<Vec<u8>>;

    /// All is said, on every rank.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// This process among those that compute a run.
pub struct Ranks {
    rank: usize,
    size: usize,
    transport: Box<dyn Transport + Send>,
}

impl Ranks {
    /// Connects this process with the others of its launcher; to be called once.
    ///
    /// # Errors
    /// A rank that cannot be reached; no library for MPI.
    pub fn meet(world: &World) -> Result<Self> {
        let transport: Box<dyn Transport + Send> = match &world.meeting {
            world::Meeting::OpenMpi => Box::new(mpi::Mpi::start(&mpi::OPEN_MPI)?),
            world::Meeting::Pmi => Box::new(mpi::Mpi::start(&mpi::OTHERS)?),
            world::Meeting::Address { host, port, token } => {
                Box::new(tcp::Tcp::meet(world, (host, *port), token)?)
            }
        };
        Ok(Self::new(world.rank, world.size, transport))
    }

    fn new(rank: usize, size: usize, transport: Box<dyn Transport + Send>) -> Self {
        Self {
            rank,
            size,
            transport,
        }
    }

    /// From 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    pub fn size(&self) -> usize {
        self.size
    }

    pub fn transport(&self) -> String {
        self.transport.name()
    }

    pub fn send(&mut self, to: usize, bytes: &[u8]) -> Result<()> {
        self.transport.send(to, bytes)
    }

    pub fn receive(&mut self, from: usize) -> Result<Vec<u8>> {
        self.transport.receive(from)
    }

    /// What rank 0 says, on every rank: along a binomial tree, so that log2 of the ranks follow one another.
    pub fn broadcast(&mut self, said: Vec<u8>) -> Result<Vec<u8>> {
        let mut said = said;
        // Who has the message after each round: ranks below 1, 2, 4, …
        let mut known = 1;
        while known < self.size {
            if self.rank < known {
                let to = self.rank + known;
                if to < self.size {
                    self.transport.send(to, &said)?;
                }
            } else if self.rank < 2 * known {
                said = self.transport.receive(self.rank - known)?;
            }
            known *= 2;
        }
        Ok(said)
    }

    /// What every rank says, in their order, on rank 0; nothing on the others.
    pub fn gather(&mut self, own: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        if self.rank > 0 {
            self.transport.send(0, &own)?;
            return Ok(Vec::new());
        }
        let others = (1..self.size).map(|from| self.transport.receive(from));
        let others: Vec<_> = others.collect::<Result<_>>()?;
        Ok(std::iter::once(own).chain(others).collect())
    }

    /// All is said, on every rank.
    pub fn finish(&mut self) -> Result<()> {
        self.transport.finish()
    }
}

/// That a rank is no longer there.
fn gone(rank: usize, what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Device, format!("rank {rank} is gone: {what}"))
        .hint("its own output says why it ended; the same command goes on from the last checkpoint")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does something on every rank at once.
    fn on_all<T: Send>(size: usize, work: impl Fn(&mut Ranks) -> T + Sync) -> Vec<T> {
        let ranks = in_process(size);
        std::thread::scope(|scope| {
            let threads = ranks.into_iter().map(|mut ranks| {
                let work = &work;
                scope.spawn(move || work(&mut ranks))
            });
            let threads: Vec<_> = threads.collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        })
    }

    #[test]
    fn what_rank_0_says_is_heard_by_all() {
        for size in 1..10 {
            let heard = on_all(size, |ranks| {
                ranks.broadcast(vec![ranks.rank() as u8 + 7]).unwrap()
            });
            assert_eq!(heard, vec![vec![7]; size]);
        }
    }

    #[test]
    fn rank_0_hears_all_in_their_order() {
        let heard = on_all(5, |ranks| ranks.gather(vec![ranks.rank() as u8]).unwrap());
        let expected: Vec<Vec<u8>> = (0..5).map(|rank| vec![rank]).collect();
        assert_eq!(heard[0], expected);
        assert!(heard[1..].iter().all(Vec::is_empty));
    }

    #[test]
    fn a_rank_that_is_gone_is_an_error() {
        let mut ranks = in_process(2);
        drop(ranks.pop());
        let error = ranks[0].receive(1).unwrap_err();
        assert!(error.message.contains("rank 1 is gone"), "{error}");
    }
}
