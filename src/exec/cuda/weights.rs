//! What a model has on the device, whatever it is computed on: one copy for all its engines.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use super::gpu::{Arg, Gpu};
use super::params::{Layout, ParamBuffer};
use crate::base::{Error, Kind, Result};
use crate::exec::Statistics;
use crate::exec::device::no_gradients;
use crate::exec::lengths::Lengths;
use crate::graph::{Graph, Param};
use crate::ops::ParamId;

/// Parameters and running statistics, and gradients where the model is trained.
pub struct Weights {
    gpu: Rc<Gpu>,
    params: ParamBuffer,
    gradients: OnceCell<ParamBuffer>,
    /// All means, then all variances.
    statistics: ParamBuffer,
    /// The image of what `statistics` holds.
    held: RefCell<Vec<f32>>,
}

impl Weights {
    /// Takes memory for parameters and statistics, and copies the parameters.
    pub fn new(gpu: Rc<Gpu>, graph: &Graph, values: &[Vec<f32>]) -> Result<Self> {
        let [params, statistics] = Self::layouts(graph);
        let weights = Self {
            params: ParamBuffer::new(&gpu, "the parameters", params)?,
            gradients: OnceCell::new(),
            statistics: ParamBuffer::new(&gpu, "the running statistics", statistics)?,
            held: RefCell::default(),
            gpu,
        };
        let values = values.iter().map(Vec::as_slice);
        weights.params.write(&weights.gpu, values)?;
        Ok(weights)
    }

    /// Of parameters and of running statistics.
    pub(super) fn layouts(graph: &Graph) -> [Layout; 2] {
        let stats = graph.stats.iter().map(|stat| stat.channels);
        [
            Layout::new(graph.params.iter().map(Param::count)),
            Layout::new(stats.clone().chain(stats)),
        ]
    }

    /// That they are an engine's of this GPU and these lengths.
    pub(super) fn check(&self, gpu: &Rc<Gpu>, lengths: &Lengths) -> Result<()> {
        let own = self.statistics.layout().lens();
        let wanted = lengths.stats.iter().chain(&lengths.stats);
        if !Rc::ptr_eq(gpu, &self.gpu) || !own.iter().eq(wanted) {
            return Err(elsewhere());
        }
        lengths.check_params(self.params.layout().lens().iter().copied())
    }

    pub(super) fn gpu(&self) -> &Rc<Gpu> {
        &self.gpu
    }

    /// The parameters, in one copy.
    pub fn read(&self) -> Result<Vec<Vec<f32>>> {
        self.params.read(&self.gpu)
    }

    /// Puts other parameters in the place of all, in one copy.
    pub fn write(&self, values: &[&[f32]]) -> Result<()> {
        self.params.write(&self.gpu, values.iter().copied())
    }

    pub(super) fn params(&self) -> &ParamBuffer {
        &self.params
    }

    /// Takes the gradients' memory, unless that is done.
    pub fn prepare_gradients(&self) -> Result<()> {
        if self.gradients.get().is_none() {
            let layout = self.params.layout().clone();
            let buffer = ParamBuffer::new(&self.gpu, "the gradients", layout)?;
            buffer.clear(&self.gpu)?;
            self.gradients.get_or_init(|| buffer);
        }
        Ok(())
    }

    /// What the last backward pass left.
    pub fn gradients(&self) -> Result<&ParamBuffer> {
        self.gradients.get().ok_or_else(no_gradients)
    }

    /// What the last backward pass left, in one copy.
    pub fn read_gradients(&self) -> Result<Vec<Vec<f32>>> {
        self.gradients()?.read(&self.gpu)
    }

    /// Has the device hold these statistics: one copy, if it holds others.
    pub fn write_statistics(&self, stats: &Statistics) -> Result<()> {
        let mut held = self.held.borrow_mut();
        let wanted = stats.mean.iter().chain(&stats.var).map(Vec::as_slice);
        let layout = self.statistics.layout();
        if !held.is_empty() && layout.vectors(&held).eq(wanted.clone()) {
            return Ok(());
        }
        *held = layout.image(wanted);
        self.statistics.write_image(&self.gpu, &held)
    }

    /// After a pass that failed nobody knows what the device holds.
    pub fn forget_statistics(&self) {
        self.held.borrow_mut().clear();
    }

    /// Queues the copy of the statistics that [`Weights::take_statistics`] gives when it is done.
    pub fn queue_statistics(&self) -> Result<()> {
        let mut held = self.held.borrow_mut();
        self.statistics.queue_read(&self.gpu, &mut held)
    }

    pub fn take_statistics(&self, stats: &mut Statistics) {
        let held = self.held.borrow();
        let all = stats.mean.iter_mut().chain(&mut stats.var);
        for (own, values) in all.zip(self.statistics.layout().vectors(&held)) {
            own.copy_from_slice(values);
        }
    }

    /// Where running mean and variance of a statistic are.
    pub(super) fn statistic(&self, index: usize) -> (Arg, Arg) {
        let all = self.statistics.layout().lens().len();
        let of = |index| self.statistics.address(&self.gpu, index);
        (of(index), of(all / 2 + index))
    }

    pub(super) fn param(&self, id: ParamId) -> Arg {
        self.params.address(&self.gpu, id)
    }

    /// Where parameters, statistics and gradients begin: what a captured pass goes by.
    pub fn places(&self) -> [u64; 3] {
        let gradients = self.gradients.get().map_or(0, |all| all.start(&self.gpu));
        let [params, statistics] = [&self.params, &self.statistics].map(|b| b.start(&self.gpu));
        [params, statistics, gradients]
    }

    /// Bytes on the device.
    pub fn memory(&self) -> usize {
        let gradients = self.gradients.get().map_or(0, ParamBuffer::bytes);
        self.params.bytes() + self.statistics.bytes() + gradients
    }
}

/// That what computes is not where the weights are, or was made for others.
pub(super) fn elsewhere() -> Error {
    let message =
        "the weights are another network's, or on another device than what computes with them";
    Error::new(Kind::Usage, message)
}
