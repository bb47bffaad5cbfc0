//! One run on several processes, as `mpirun`, `srun` or `torchrun` starts them.

use std::time::Instant;

use super::{Args, Task};
use crate::base::{Error, Kind, Result};
use crate::cli::ranks::divide;
use crate::exec::Executor;
use crate::ranks::World;
use crate::run::manifest::DataIdentity;
use crate::train::circumstances::Circumstances;
use crate::train::follower::Follower;
use crate::train::stop::Stop;
use crate::train::team::{Computation, Team};

/// The one run that ranks compute, or why it cannot be shared out; divides the machine among its ranks.
pub fn check<'t>(world: &World, tasks: &'t [Task], args: &mut Args) -> Result<&'t Task> {
    let [task] = tasks else {
        let message = format!(
            "{} ranks compute one run, and the files have {}",
            world.size,
            tasks.len()
        );
        return Err(Error::new(Kind::Usage, message)
            .hint("--member and --seed choose one of a suite; `ffn submit` gives each run a job of its own"));
    };
    let shards = task.loaded.experiment.train.shards;
    if shards < world.size {
        let message = format!(
            "a step of {shards} cannot be shared out among {} ranks: `train.shards` says in how many parts",
            world.size
        );
        return Err(Error::new(Kind::Usage, message).hint(format!(
            "`--set train.shards={}` is another experiment, of as many clips a step; `ffn plan FILE --shards` has all",
            world.size
        )));
    }
    divide(world, &mut args.machine);
    Ok(task)
}

/// The part of a rank that is not the first, from its beginning to its end.
pub fn follow(args: &Args, task: &Task, mut team: Team, started: Instant) -> Result<()> {
    let Some(computation) = team.agree(None)? else {
        return team.ranks.finish();
    };
    let experiment = &task.loaded.experiment;
    let own = (computation.engine, computation.fusions);
    let executor = args.machine.executor(own)?;
    let location = args.stage.location(&args.data, experiment)?;
    let dataset = location.open(experiment, &task.loaded.base)?;
    let data = DataIdentity::of(&dataset);
    team.introduce(&Circumstances::of(experiment.identity(), data, executor))?;
    let follower = Follower {
        experiment,
        base: &task.loaded.base,
        dataset,
        executor,
        workers: args.machine.workers,
        stop: &Stop::install(started, None)?,
        team,
    };
    follower.run()
}

/// What rank 0 says before anything is computed: with what, and that all have the same before them.
pub fn begin(team: &mut Team, task: &Task, executor: Executor, data: DataIdentity) -> Result<()> {
    let computation = Computation {
        engine: executor.engine,
        fusions: executor.fusions,
    };
    team.agree(Some(computation))?;
    let identity = task.loaded.experiment.identity();
    team.introduce(&Circumstances::of(identity, data, executor))
}

/// That nothing is to be done: the run is finished.
pub fn dismiss(team: &mut Team) -> Result<()> {
    team.agree(None)?;
    team.ranks.finish()
}
