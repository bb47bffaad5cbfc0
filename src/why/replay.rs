//! Both sides computed again, side by side: samples, initial weights, training steps, evaluation of the first clip.

use std::sync::Arc;

use super::compare::{Measure, Tolerance};
use super::replayed::{Replayed, replayed, untold, weights};
use super::report::{Difference, Outcome, Stage};
use super::side::{Data, Side};
use super::{Halt, Options, Pair, Walk, computed, evaluated, samples};
use crate::base::Result;
use crate::data::{Dataset, TrainPlan};
use crate::model::Model;
use crate::spec::Init;
use crate::train::schedule;

/// Stages of the training steps.
const COMPUTED: [Stage; 5] = [
    Stage::Activations,
    Stage::Loss,
    Stage::Gradients,
    Stage::Optimizer,
    Stage::Update,
];

/// Stages that follow the training steps.
const AFTERWARDS: [Stage; 4] = [
    Stage::Schedule,
    Stage::EvaluationFrames,
    Stage::EvaluationPixels,
    Stage::EvaluationLogits,
];

pub fn walk(
    sides: &Pair<Side>,
    options: &Options<'_>,
    data: &Data,
    walk: &mut Walk,
) -> Result<(), Halt> {
    let plans = data.as_ref().map(|data| plans(sides, data));
    let batches = match &plans {
        Ok(plans) => samples::walk(plans, 0, walk)?,
        Err(error) => {
            walk.skip(&samples::STAGES, &error.message);
            None
        }
    };
    let all = [&COMPUTED[..], &AFTERWARDS].concat();
    let models = match models(sides, options) {
        Ok(models) => models,
        Err(error) => {
            walk.skip(&[Stage::InitialWeights], &error.message);
            // What does not depend on the file of weights is compared all the same.
            without_file(sides, options, walk)?;
            walk.skip(&all, "there is no model to compute");
            return Ok(());
        }
    };
    let states = models.as_ref().map(Model::state_dict).both()?;
    let outcome = weights(&states, Measure::Bits);
    walk.note(Stage::InitialWeights, outcome)?;
    let (Ok(data), Ok(plans), Some(mut batches)) = (data, &plans, batches) else {
        walk.skip(&all, "there is no batch to compute");
        return Ok(());
    };
    let both = sides.as_ref().zip(data.as_ref()).zip(models);
    let mut both = both.map(replayed).both()?;
    let tolerance = Tolerance::between(options.executors);
    for step in 0..options.steps {
        if step > 0 {
            match samples::walk(plans, step, walk)? {
                Some(next) => batches = next,
                None => return Ok(()),
            }
        }
        match computed::walk(&mut both, &batches, tolerance, walk) {
            Err(Halt::Failed(error)) => {
                let Outcome::NotCompared(reason) = untold(error)? else {
                    continue;
                };
                walk.skip(&COMPUTED, &reason);
                break;
            }
            outcome => outcome?,
        }
    }
    walk.note(Stage::Schedule, schedules(&both))?;
    evaluated::walk(&mut both, tolerance.activations, walk)
}

fn models(sides: &Pair<Side>, options: &Options<'_>) -> Result<Pair<Model>> {
    let models = sides.as_ref().zip(options.executors.as_ref());
    let models = models.map(|(side, executor)| Model::new(&side.experiment, &side.base, *executor));
    models.both()
}

/// Where both start from the same file, which is not here: what the file does not hold, such as the alteration.
fn without_file(sides: &Pair<Side>, options: &Options<'_>, walk: &mut Walk) -> Result<(), Halt> {
    let inits = sides.as_ref().map(|side| side.experiment.model.init());
    if inits.a != inits.b || *inits.a == Init::Random {
        return Ok(());
    }
    let random = sides.as_ref().zip(options.executors.as_ref());
    let random = random.map(|(side, executor)| {
        let mut experiment = side.experiment.clone();
        *experiment.model.init_mut() = Init::Random;
        let model = Model::new(&experiment, &side.base, *executor)?;
        model.state_dict()
    });
    let outcome = match weights(&random.both()?, Measure::Bits) {
        Outcome::Same(what) => Outcome::Same(format!("{what}, drawn as if there were no file")),
        differs => differs,
    };
    walk.note(Stage::InitialWeights, outcome)
}

fn plans(sides: &Pair<Side>, data: &Pair<Arc<Dataset>>) -> Pair<TrainPlan> {
    let plan =
        |(side, data): (&Side, &Arc<Dataset>)| TrainPlan::new(Arc::clone(data), &side.experiment);
    sides.as_ref().zip(data.as_ref()).map(plan)
}

/// The learning rate of every step: a formula, so that all of them are compared.
fn schedules(both: &Pair<Replayed<'_>>) -> Outcome {
    let steps = both
        .as_ref()
        .map(|side| side.steps_per_epoch * side.experiment.train.epochs as u64);
    let rate =
        |side: &Replayed<'_>, step| schedule::rate(side.experiment, side.steps_per_epoch, step);
    let parting = (0..steps.a.min(steps.b))
        .map(|step| (step, rate(&both.a, step), rate(&both.b, step)))
        .find(|(_, a, b)| a.to_bits() != b.to_bits());
    let difference = match parting {
        Some((step, a, b)) => Some(Difference::new(
            format!("learning rate of step {step}"),
            a,
            b,
        )),
        None if steps.a != steps.b => Some(Difference::new("steps", steps.a, steps.b)),
        None => None,
    };
    Outcome::of(difference, || {
        format!("learning rates of {} steps", steps.a)
    })
}
