//! How long what callers hand to an engine must be.

use super::{Input, Statistics};
use crate::base::{Error, Kind, Result};
use crate::graph::Graph;
use crate::program::{BufferId, Program};

/// Values of everything that goes into an engine, by which what callers hand over is checked.
pub struct Lengths {
    pub params: Vec<usize>,
    pub stats: Vec<usize>,
    input: usize,
    /// The logits' gradient of a program for training, and its buffer.
    d_logits: Option<(BufferId, usize)>,
}

impl Lengths {
    pub fn of(graph: &Graph, program: &Program) -> Self {
        let len = |id: BufferId| program.buffers[id].len();
        Self {
            params: graph.params.iter().map(|param| param.count()).collect(),
            stats: graph.stats.iter().map(|stat| stat.channels).collect(),
            input: len(program.input),
            d_logits: program.d_logits.map(|id| (id, len(id))),
        }
    }

    pub fn check_forward(&self, stats: &Statistics, input: Input<'_>) -> Result<()> {
        let [means, variances] = [&stats.mean, &stats.var].map(|all| all.iter().map(Vec::len));
        check("running means", means, &self.stats)?;
        check("running variances", variances, &self.stats)?;
        check("input", [input.count()].into_iter(), &[self.input])
    }

    pub fn check_params(&self, params: impl ExactSizeIterator<Item = usize>) -> Result<()> {
        check("parameters", params, &self.params)
    }

    pub fn check_gradients(&self, grads: &[&mut [f32]]) -> Result<()> {
        check("gradients", grads.iter().map(|g| g.len()), &self.params)
    }

    /// The buffer that the logits' gradient goes to.
    pub fn check_backward(&self, d_logits: &[f32]) -> Result<BufferId> {
        let Some((gradient, wanted)) = self.d_logits else {
            let message = "a program for evaluation has no backward pass";
            return Err(Error::new(Kind::Usage, message));
        };
        let found = [d_logits.len()].into_iter();
        check("gradient of the logits", found, &[wanted])?;
        Ok(gradient)
    }
}

fn check(
    what: &str,
    found: impl ExactSizeIterator<Item = usize>,
    expected: &[usize],
) -> Result<()> {
    let (count, lens) = (found.len(), expected.len());
    if count != lens {
        let message = format!("{what}: expected {lens}, found {count}");
        return Err(Error::new(Kind::Usage, message));
    }
    match found
        .zip(expected)
        .find(|(found, expected)| found != *expected)
    {
        Some((found, expected)) => Err(Error::new(
            Kind::Usage,
            format!("{what}: expected {expected} values, found {found}"),
        )),
        None => Ok(()),
    }
}
