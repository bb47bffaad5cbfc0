//! The processes that `mpirun`, `srun` or `torchrun` started to do one thing together.

use super::options::{MachineOptions, thread_count};
use crate::base::{Result, terminal};
use crate::ranks::{Ranks, World};
use crate::train::machine::online_cores;
use crate::train::team::Team;

/// This process's place among those of its launcher; `None`: it is alone. Of several the first speaks, and the others say only why they
/// fail.
pub fn find() -> Result<Option<World>> {
    let world = World::here()?;
    terminal::silence(world.as_ref().is_some_and(|world| world.rank > 0));
    Ok(world)
}

/// Divides the machine among its ranks, unless flags say what is whose.
pub fn divide(world: &World, machine: &mut MachineOptions) {
    // A launcher may have given each rank cores of its own.
    let own = thread_count(0).min((online_cores() / world.local_size).max(1));
    for flag in [&mut machine.threads, &mut machine.workers] {
        if *flag == 0 {
            *flag = own;
        }
    }
}

/// The ranks of a command whose work on clips they share. `asked`: what they are asked for, which has to be one thing.
pub fn join(machine: &mut MachineOptions, asked: &str) -> Result<Option<Team>> {
    let Some(world) = find()? else {
        return Ok(None);
    };
    divide(&world, machine);
    let mut team = Team::new(Ranks::meet(&world)?);
    team.agree_on(asked)?;
    Ok(Some(team))
}

/// All is said and done.
pub fn finish(team: Option<Team>) -> Result<()> {
    team.map_or(Ok(()), |mut team| team.ranks.finish())
}
