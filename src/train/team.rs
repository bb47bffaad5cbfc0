//! One run on several processes: rank 0 runs the session and says what is to be done, the others do their part of it.
//!
//! Of each step a rank computes neighbouring shards. What they come to goes up a binomial tree to rank 0 as nodes of the shards' tree of
//! sums ([`super::sum`]), and the whole comes back; every rank then makes the same update. So the bytes of a run do not depend on how many
//! ranks there are, and a run goes on with another number of them. Only rank 0 reads or writes the run folder.

use std::ops::Range;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::circumstances::Circumstances;
use super::learner::Learner;
use super::sum::{Node, Sum, Tree};
use super::wire::{self, Reader, Writer};
use crate::base::rng::fnv1a;
use crate::base::{Error, Kind, Result, Shown};
use crate::exec::{EngineKind, Fusions};
use crate::model::StateDict;
use crate::model::state::Named;
use crate::ranks::Ranks;
use crate::run::optimizer_state::OptimizerState;

/// What rank 0 asks of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// The next training step.
    Step,
    /// Their part of an evaluation, of the weights that results are of, or of those that are averaged.
    Evaluate { unaveraged: bool },
    /// A digest of each tensor, to be held against rank 0's.
    Compare,
    /// Nothing more is to be done; how the run ended, where that is no success.
    End(Option<Ending>),
}

/// How a run ended, for a rank's exit code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    pub stopped: bool,
    pub message: String,
}

/// With what all ranks compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Computation {
    pub engine: EngineKind,
    pub fusions: Fusions,
}

/// Where a run is when the others join it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    pub step: u64,
    pub steps_per_epoch: u64,
}

/// The shards of a rank: neighbours, and of all ranks together each once.
pub fn own_shards(shards: usize, rank: usize, size: usize) -> Range<usize> {
    rank * shards / size..(rank + 1) * shards / size
}

/// The ranks of a run.
pub struct Team {
    pub ranks: Ranks,
    /// Whether all are to hear one another now: something was ordered, and has not ended.
    pub is_waited_for: bool,
}

impl Team {
    pub fn new(ranks: Ranks) -> Self {
        Self {
            ranks,
            is_waited_for: false,
        }
    }

    pub fn is_first(&self) -> bool {
        self.ranks.rank() == 0
    }

    pub fn shards(&self, shards: usize) -> Range<usize> {
        own_shards(shards, self.ranks.rank(), self.ranks.size())
    }

    /// Tells all what to do; on the other ranks, what they are told.
    pub fn order(&mut self, order: &Order) -> Result<Order> {
        let heard = self.tell(Some(order))?;
        self.is_waited_for = !matches!(order, Order::End(_));
        Ok(heard)
    }

    /// What rank 0 says, on every rank; of the others nothing is heard.
    pub fn tell<T: Serialize + DeserializeOwned>(&mut self, own: Option<&T>) -> Result<T> {
        let mut said = Writer::default();
        if let Some(own) = own {
            said.json(own)?;
        }
        let heard = self.ranks.broadcast(said.0)?;
        Reader(&heard).json()
    }

    /// Says with what is computed, or that nothing is to be; on the other ranks, what is said.
    pub fn agree(&mut self, computation: Option<Computation>) -> Result<Option<Computation>> {
        self.tell(Some(&computation))
    }

    /// Refuses ranks that were asked something else, on all of them.
    pub fn agree_on(&mut self, asked: &str) -> Result<()> {
        let all = self.exchange(asked.as_bytes().to_vec())?;
        let first = all.first().cloned().unwrap_or_default();
        let Some(rank) = all.iter().position(|asked| *asked != first) else {
            return Ok(());
        };
        let [own, first] = [&all[rank], &first].map(|text| String::from_utf8_lossy(text).shown());
        Err(Error::new(
            Kind::Usage,
            format!("rank {rank} was asked for {own}, and rank 0 for {first}"),
        )
        .hint("all ranks need the same command"))
    }

    /// Refuses ranks that would compute something else, on all of them.
    pub fn introduce(&mut self, own: &Circumstances) -> Result<()> {
        let mut said = Writer::default();
        said.json(own)?;
        let all = self.ranks.gather(said.0)?;
        let mut refusal = None;
        for (rank, said) in all.iter().enumerate() {
            let other: Circumstances = Reader(said).json()?;
            refusal = refusal.or(own
                .apart(&other)
                .map(|what| format!("rank {rank} cannot take part: {what}")));
        }
        match self.tell(Some(&refusal))? {
            None => Ok(()),
            Some(refusal) => Err(Error::new(Kind::Usage, refusal).hint(
                "all ranks need the same program, experiment and data, on processors of one class",
            )),
        }
    }

    /// Everything that the next step reads, from rank 0 to the others.
    pub fn share_state(&mut self, learner: &mut Learner, start: Start) -> Result<Start> {
        let mut said = Writer::default();
        if self.is_first() {
            said.json(&start)?;
            write_state(&mut said, &learner.model.state_dict()?);
            let optimizer = learner.optimizer.state(&learner.model)?;
            said.number(optimizer.steps);
            write_named(&mut said, &optimizer.tensors);
            let average: Vec<&StateDict> = learner.average.iter().map(|a| a.state()).collect();
            said.each(&average, |to, state| write_state(to, state));
        }
        let heard = self.ranks.broadcast(said.0)?;
        let mut heard = Reader(&heard);
        let start = heard.json()?;
        if self.is_first() {
            return Ok(start);
        }
        let model = read_state(&mut heard)?;
        learner.model.load_state_dict(&model)?;
        let optimizer = OptimizerState {
            steps: heard.number()?,
            tensors: read_named(&mut heard)?,
        };
        learner.optimizer.load_state(&learner.model, &optimizer)?;
        let average = heard.each(read_state)?.pop();
        if let (Some(own), Some(state)) = (&mut learner.average, average) {
            own.load(state);
        }
        Ok(start)
    }

    /// What all shards of a step come to, on every rank, with the running statistics taken over. `stop`: whether this rank was asked to
    /// stop; the result: whether any was.
    pub fn sum(
        &mut self,
        learner: &mut Learner,
        own: Tree<Sum>,
        stop: bool,
    ) -> Result<(Sum, bool)> {
        let (tree, stop) = self.reduce(own, stop)?;
        let mut said = Writer::default();
        let mut whole = Sum::default();
        if self.is_first() {
            whole = learner.whole(tree)?;
            whole.statistics = None;
            wire::write_sum(&mut said, &whole);
            wire::write_statistics(&mut said, learner.model.statistics());
            said.count(usize::from(stop));
        }
        let heard = self.ranks.broadcast(said.0)?;
        self.is_waited_for = false;
        if self.is_first() {
            return Ok((whole, stop));
        }
        let mut heard = Reader(&heard);
        let whole = wire::read_sum(&mut heard)?;
        learner.take(&whole)?;
        learner
            .model
            .replace_statistics(wire::read_statistics(&mut heard)?)?;
        Ok((whole, heard.count()? > 0))
    }

    /// Nodes of the shards' tree, up a binomial tree of the ranks: rank r hears r + 1, r + 2, r + 4, … while these are above it, which are
    /// the shards that follow its own.
    fn reduce(&mut self, own: Tree<Sum>, stop: bool) -> Result<(Tree<Sum>, bool)> {
        let (rank, size) = (self.ranks.rank(), self.ranks.size());
        let (mut tree, mut stop) = (own, stop);
        let mut apart = 1;
        while apart < size {
            if rank & apart != 0 {
                let mut said = Writer::default();
                said.count(usize::from(stop));
                wire::write_nodes(&mut said, &tree.nodes());
                self.ranks.send(rank - apart, &said.0)?;
                return Ok((Tree::default(), stop));
            }
            if rank + apart < size {
                let heard = self.ranks.receive(rank + apart)?;
                let mut heard = Reader(&heard);
                stop |= heard.count()? > 0;
                let nodes: Vec<Node<Sum>> = wire::read_nodes(&mut heard)?;
                nodes.into_iter().for_each(|node| tree.push(node));
            }
            apart *= 2;
        }
        Ok((tree, stop))
    }

    /// What every rank says, in their order, on all of them.
    pub fn exchange(&mut self, own: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        let all = self.ranks.gather(own)?;
        let mut said = Writer::default();
        said.each(&all, |to, bytes| to.bytes(bytes));
        let heard = self.ranks.broadcast(said.0)?;
        Reader(&heard).each(Reader::bytes)
    }

    /// Fails on rank 0 where a tensor of another rank is not its own.
    pub fn compare(&mut self, learner: &Learner, step: u64) -> Result<()> {
        let state = learner.model.state_dict()?;
        let mut said = Writer::default();
        said.each(&state.floats, |to, (_, _, values)| {
            to.number(digest(values))
        });
        let own = said.0.clone();
        let all = self.ranks.gather(said.0)?;
        self.is_waited_for = false;
        let other = all.iter().enumerate().find(|(_, other)| **other != own);
        let Some((rank, other)) = other else {
            return Ok(());
        };
        let [own, other] = [&own, other].map(|said| Reader(said).each(Reader::number));
        let place = own?.iter().zip(&other?).position(|(a, b)| a != b);
        let name = place.and_then(|place| state.floats.get(place));
        let name = name.map_or("a tensor", |(name, ..)| name.as_str());
        Err(Error::new(
            Kind::Device,
            format!("after step {step} `{name}` of rank {rank} is not that of rank 0"),
        )
        .hint(
            "a machine computes otherwise than the others: a fault of its memory, or another processor; the last checkpoint is intact",
        ))
    }
}

/// Of the values' bits.
fn digest(values: &[f32]) -> u64 {
    let mut bits = Writer::default();
    bits.floats(values);
    fnv1a(&bits.0)
}

fn write_named(to: &mut Writer, tensors: &[Named]) {
    to.each(tensors, |to, (name, shape, values)| {
        to.text(name);
        to.each(shape, |to, &length| to.count(length));
        to.floats(values);
    });
}

fn read_named(from: &mut Reader<'_>) -> Result<Vec<Named>> {
    from.each(|from| Ok((from.text()?, from.each(Reader::count)?, from.floats()?)))
}

fn write_state(to: &mut Writer, state: &StateDict) {
    write_named(to, &state.floats);
    to.each(&state.counters, |to, (name, count)| {
        to.text(name);
        to.number(*count);
    });
}

fn read_state(from: &mut Reader<'_>) -> Result<StateDict> {
    Ok(StateDict {
        floats: read_named(from)?,
        counters: from.each(|from| Ok((from.text()?, from.number()?)))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranks::in_process;

    #[test]
    fn every_shard_is_one_ranks() {
        for shards in 1..20 {
            for size in 1..=shards {
                let all = (0..size).flat_map(|rank| own_shards(shards, rank, size));
                assert_eq!(all.collect::<Vec<_>>(), (0..shards).collect::<Vec<_>>());
                assert!((0..size).all(|rank| !own_shards(shards, rank, size).is_empty()));
            }
        }
    }

    /// Floating point sums of numbers of very different sizes: any other order would show.
    #[test]
    fn any_number_of_ranks_has_the_same_sum() {
        let shard = |number: usize| Node {
            first: number,
            count: 1,
            sum: Sum {
                gradients: vec![vec![1e-3f32.powi(number as i32 % 3) * 1.1, number as f32]],
                losses: vec![("total".into(), 0.1 * number as f64)],
                ids: vec![number.to_string()],
                ..Sum::default()
            },
        };
        let tree = |range: Range<usize>| {
            let mut tree = Tree::default();
            range.for_each(|number| tree.push(shard(number)));
            tree
        };
        for shards in [1, 4, 7, 8] {
            let expected = tree(0..shards).finish().unwrap();
            for size in 1..=shards {
                let ranks = in_process(size);
                let sums = std::thread::scope(|scope| {
                    let threads = ranks.into_iter().map(|ranks| {
                        scope.spawn(|| {
                            let mut team = Team::new(ranks);
                            let own = tree(team.shards(shards));
                            let last = team.ranks.rank() + 1 == size;
                            team.reduce(own, last).unwrap()
                        })
                    });
                    let threads: Vec<_> = threads.collect();
                    let sums = threads.into_iter().map(|thread| thread.join().unwrap());
                    sums.collect::<Vec<_>>()
                });
                let mut sums = sums.into_iter();
                let (first, stop) = sums.next().unwrap();
                assert!(stop, "whichever rank is asked to stop, rank 0 hears it");
                assert_eq!(first.finish().unwrap(), expected);
                assert!(sums.all(|(rest, _)| rest.finish().is_none()));
            }
        }
    }
}
