//! What a session evaluates: between epochs, and at the end; which weights are kept, and whether training ends early.

use super::{Session, evaluation};
use crate::base::{Error, Held, Kind, Result};
use crate::model::Model;
use crate::run::best::{self, Best};
use crate::run::manifest::StoppedEarly;
use crate::run::results::{self, Summary};
use crate::run::{checkpoint, finish, folder, tensors};
use crate::spec::Keep;
use crate::train::progress::Progress;
use crate::train::selection;
use crate::train::sharing::Sharing;
use crate::train::team::Order;

/// Which weights are evaluated.
#[derive(Clone, Copy)]
enum Weights {
    /// Those that the run's results are of: the averaged ones where there are such.
    Result,
    /// The same at the end of training, where the results are of the best.
    Last,
    /// Those that are averaged.
    Unaveraged,
}

impl Weights {
    /// At the end of a result's line.
    fn named(self) -> &'static str {
        match self {
            Weights::Result => "",
            Weights::Last => " with the last weights",
            Weights::Unaveraged => " with the weights that are averaged",
        }
    }
}

impl Session<'_> {
    /// Evaluates where the experiment asks for it after this epoch, unless that is done.
    pub(super) fn interim_results(&mut self, progress: &mut Progress) -> Result<()> {
        let every = self.job.loaded.experiment.eval.every as u64;
        let due = self.step > 0 && self.step < self.manifest.steps && self.at_epoch_end();
        if every == 0 || !due || !self.epoch().is_multiple_of(every) {
            return Ok(());
        }
        let place = self.job.folder.dir().folder(folder::EVAL)?;
        let place = place.folder(&epoch_folder(self.epoch()))?;
        let frames = &self.job.loaded.experiment.eval.frames;
        let mut summaries = results::read_all(place.path())?;
        if summaries.len() != frames.len() {
            summaries = self.evaluate(Weights::Result, &place, progress)?;
        }
        self.keep_best(&summaries)
    }

    /// Keeps the weights at hand, whose results these are, where they are the best so far.
    fn keep_best(&mut self, summaries: &[Summary]) -> Result<()> {
        let Keep::Best { frames } = self.job.loaded.experiment.train.keep else {
            return Ok(());
        };
        let found = summaries.iter().find(|summary| summary.frames == frames);
        let top1 = found.map_or(0, |summary| summary.top1);
        let checkpoints = self.job.folder.dir().folder(folder::CHECKPOINTS)?;
        best::prune(&checkpoints)?;
        let known = best::find(checkpoints.path())?;
        if known.is_some_and(|(_, best)| best.top1 >= top1) {
            return Ok(());
        }
        let kept = Best {
            identity: self.identity.clone(),
            step: self.step,
            epoch: self.epoch(),
            frames,
            top1,
            files: Default::default(),
        };
        let model = tensors::encode(&self.learner.result()?)?;
        best::write(&checkpoints, kept, &model)?;
        self.log.say(&format!(
            "step {} has the best top-1 at {frames} frames so far",
            self.step
        ))
    }

    /// Why training ends here by the experiment's rule, if it does.
    pub(super) fn stops_early(&self) -> Result<Option<String>> {
        let Some(rule) = self.job.loaded.experiment.train.stop else {
            return Ok(None);
        };
        if !self.at_epoch_end() {
            return Ok(None);
        }
        let eval = self.job.folder.eval();
        let evaluations =
            (1..=self.epoch()).map(|epoch| results::read_all(&eval.join(epoch_folder(epoch))));
        let evaluations: Vec<Vec<Summary>> = evaluations.collect::<Result<_>>()?;
        Ok(selection::ends(&rule, &evaluations))
    }

    /// The last checkpoint, the evaluation, and the manifest that lists both.
    pub(super) fn final_results(&mut self, progress: &mut Progress) -> Result<Vec<Summary>> {
        self.save_if_new()?;
        self.stop_if_asked()?;
        let dir = self.job.folder.dir().clone();
        if let Some(reason) = self
            .stops_early()?
            .filter(|_| self.step < self.manifest.steps)
        {
            let line = format!("training ended after epoch {}: {reason}", self.epoch());
            self.log.say(&line)?;
            progress.say(&line);
            self.manifest.stopped_early = Some(StoppedEarly {
                planned_steps: self.manifest.steps,
                reason,
            });
            self.manifest.steps = self.step;
        }
        let summaries = self.results(&dir.folder(folder::EVAL)?, progress)?;
        self.job.folder.check_in_place()?;
        super::check_beginning(&self.job, &self.manifest)?;
        checkpoint::prune(&dir.folder(folder::CHECKPOINTS)?, 1)?;
        finish::list_results(&self.job.folder, &mut self.manifest)?;
        Ok(summaries)
    }

    /// The results of the run, in `eval`, and beside them those of the last weights where the best are kept, and of the weights that are
    /// averaged.
    fn results(&mut self, eval: &Held, progress: &mut Progress) -> Result<Vec<Summary>> {
        if self.learner.average.is_some() {
            let place = eval.folder(folder::UNAVERAGED)?;
            self.evaluate(Weights::Unaveraged, &place, progress)?;
        }
        if self.job.loaded.experiment.train.keep == Keep::Last {
            return self.evaluate(Weights::Result, eval, progress);
        }
        let last = eval.folder(folder::LAST)?;
        let summaries = self.evaluate(Weights::Last, &last, progress)?;
        self.keep_best(&summaries)?;
        let Some((_, best)) = best::find(&self.job.folder.checkpoints())? else {
            return Ok(summaries);
        };
        let source = match best.step == self.step {
            true => last.path().to_owned(),
            false => eval.path().join(epoch_folder(best.epoch)),
        };
        results::copy(&source, eval)?;
        let line = format!(
            "the results are of step {}, the best at {} frames",
            best.step, best.frames
        );
        self.log.say(&line)?;
        progress.detail(&line);
        results::read_all(eval.path())
    }

    fn evaluate(
        &mut self,
        weights: Weights,
        place: &Held,
        progress: &mut Progress,
    ) -> Result<Vec<Summary>> {
        let stop = self.job.stop;
        let frames = &self.job.loaded.experiment.eval.frames;
        progress.evaluate(self.job.dataset.validation.len(), frames);
        let unaveraged = matches!(weights, Weights::Unaveraged);
        self.order(&Order::Evaluate { unaveraged })?;
        let whole = evaluation(&self.job, self.step);
        // Other ranks are in the midst of it: one that is asked to stop waits for them.
        let is_shared = self.team.is_some();
        let mut sharing = Sharing::among(self.team.as_mut());
        let mut run = |model: &mut Model| {
            whole.run(model, &mut sharing, &mut |done| {
                progress.evaluated(done);
                match stop.requested().filter(|_| !is_shared) {
                    None => Ok(()),
                    Some(reason) => Err(Error::new(
                        Kind::Stopped,
                        format!("stopped during evaluation: {reason}; the training is saved"),
                    )
                    .hint("the same command evaluates again and goes on from there")),
                }
            })
        };
        let evaluated = match weights {
            Weights::Result | Weights::Last => self.learner.with_result(run),
            Weights::Unaveraged => run(&mut self.learner.model),
        }?;
        progress.end_evaluation();
        let mut summaries = Vec::new();
        for mut result in evaluated {
            result.summary.left_out = self.left_out.count();
            results::write(place, &result.summary, &result.predictions)?;
            let line = format!("{}{}", describe(&result.summary), weights.named());
            let after = format!("after step {}: {line}", self.step);
            self.log.say(&after)?;
            progress.detail(if self.step < self.manifest.steps {
                &after
            } else {
                &line
            });
            summaries.push(result.summary);
        }
        Ok(summaries)
    }
}

/// In the folder of evaluations.
fn epoch_folder(epoch: u64) -> String {
    format!("epoch-{epoch:04}")
}

/// One frame count's result in a line.
pub fn describe(summary: &Summary) -> String {
    let branch = match summary.branch == summary.frames {
        true => String::new(),
        false => format!(" by the branch of {}", summary.branch),
    };
    format!(
        "{} frames{branch}: top-1 {:.2} %, top-5 {:.2} %, {} clips",
        summary.frames,
        summary.top1_percent(),
        summary.top5_percent(),
        summary.clips
    )
}
