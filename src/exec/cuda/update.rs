//! The optimiser's step on the device: `kernels/update.cu` over pieces of the buffers of parameters, gradients and moments.

use std::rc::Rc;

use cudarc::driver::CudaSlice;

use super::gpu::{Arg, Gpu, Grid, Kernel, failed};
use super::memory::base;
use super::params::{ALIGNMENT, Layout, ParamBuffer};
use super::weights::{Weights, elsewhere};
use crate::base::{Error, Kind, Result};
use crate::exec::{AdamW, Rule, Update};

/// Values of a piece at most: enough pieces for every processor of a GPU, few enough to add up on the host.
const PIECE: usize = 4096;

/// The moments of every trained parameter.
pub struct Moments {
    gpu: Rc<Gpu>,
    layout: Layout,
    /// Each laid out as the parameters; what is frozen has a place that nobody reads.
    buffers: Vec<ParamBuffer>,
    trained: Vec<bool>,
    /// Of each piece where it begins, in units of [`ALIGNMENT`] values, its length and its parameter. A piece is of one
    /// parameter, and the frozen ones have none.
    pieces: CudaSlice<i32>,
    count: usize,
    /// Of each parameter its learning rate and weight decay in the update at hand, and what is copied there.
    rates: CudaSlice<f32>,
    given: Vec<f32>,
    /// Of each piece the sum of its gradients' squares.
    squares: CudaSlice<f64>,
}

impl Moments {
    /// Zero. Takes all memory that the optimiser needs.
    pub fn new(weights: &Weights, trained: &[bool], count: usize) -> Result<Self> {
        let gpu = Rc::clone(weights.gpu());
        let layout = weights.params().layout();
        let pieces = pieces(layout, trained)?;
        let moments = count;
        let count = pieces.len();
        let copied = gpu.stream.clone_htod(&match &*pieces {
            // The driver refuses to give nothing.
            [] => vec![0],
            pieces => pieces.concat(),
        });
        gpu.synchronize()?;
        let buffer = |_| {
            let buffer = ParamBuffer::new(&gpu, "the optimiser's moments", layout.clone())?;
            buffer.clear(&gpu)?;
            Ok(buffer)
        };
        Ok(Self {
            buffers: (0..moments).map(buffer).collect::<Result<_>>()?,
            layout: layout.clone(),
            trained: trained.to_vec(),
            pieces: copied.map_err(|e| failed("copy the optimiser's table", e))?,
            count,
            rates: gpu.allocate("the learning rates", 2 * trained.len())?,
            given: Vec::new(),
            squares: gpu.allocate("the sums of squares", count)?,
            gpu,
        })
    }

    /// Bytes on the device of all that [`Moments::new`] takes.
    pub fn needs(layout: &Layout, trained: &[bool], count: usize) -> Result<usize> {
        let pieces = pieces(layout, trained)?.len();
        let piece = size_of::<[i32; 3]>() + size_of::<f64>();
        Ok(count * layout.bytes() + pieces * piece + trained.len() * size_of::<[f32; 2]>())
    }

    /// Σ g² over the gradients of all trained parameters: each piece's sum is the device's, these are added in order.
    pub fn square(&self, weights: &Weights) -> Result<f64> {
        self.check(weights)?;
        let gradients = weights.gradients()?.all(&self.gpu);
        let args = [gradients, self.table(), self.at(&self.squares)];
        self.launch("squares", &args)?;
        let mut sums = vec![0.0; self.squares.len()];
        let copied = self.gpu.stream.memcpy_dtoh(&self.squares, &mut sums);
        let done = self.gpu.synchronize();
        copied.map_err(|e| failed("copy the gradients' norm from the GPU", e))?;
        done?;
        Ok(sums.iter().take(self.count).sum())
    }

    /// Queues what cuts every gradient of the trained parameters to ± `most`.
    pub fn clamp(&self, weights: &Weights, most: f32) -> Result<()> {
        self.check(weights)?;
        let gradients = weights.gradients()?.all(&self.gpu);
        self.launch(
            "clamp_gradients",
            &[gradients, self.table(), Arg::Float(most)],
        )
    }

    /// Queues the update of all trained parameters; later passes run behind it.
    pub fn update(&mut self, weights: &Weights, update: &Update) -> Result<()> {
        self.check(weights)?;
        let count = update.rates.len();
        if count != self.trained.len() {
            let message = format!("an update of {count} parameters for {}", self.trained.len());
            return Err(Error::new(Kind::Usage, message));
        }
        // The last update's copy is done: a whole step has been waited for since.
        self.given.clear();
        let rates = update.rates.iter();
        self.given.extend(rates.flat_map(|of| [of.rate, of.decay]));
        let copied = self.gpu.stream.memcpy_htod(&self.given, &mut self.rates);
        copied.map_err(|e| failed("copy the learning rates to the GPU", e))?;
        let (kernel, numbers): (_, Vec<Arg>) = match update.rule {
            Rule::Sgd { momentum, nesterov } => (
                "update",
                vec![Arg::Float(momentum), Arg::Int(i32::from(nesterov))],
            ),
            Rule::AdamW(adam) => {
                let AdamW {
                    new1,
                    beta2,
                    new2,
                    eps,
                    correction1,
                    correction2,
                } = adam;
                let numbers = [new1, beta2, new2, eps, correction1, correction2];
                ("adamw", numbers.map(Arg::Float).to_vec())
            }
        };
        if self.buffers.len() != update.rule.moments() {
            return Err(elsewhere());
        }
        let mut args = vec![
            weights.gradients()?.all(&self.gpu),
            self.table(),
            self.at(&self.rates),
        ];
        args.extend(numbers);
        args.push(Arg::Float(update.scale));
        args.extend(self.buffers.iter().map(|buffer| buffer.all(&self.gpu)));
        args.push(weights.params().all(&self.gpu));
        self.launch(kernel, &args)
    }

    /// The first of each trained parameter, then the second of each.
    pub fn read(&self) -> Result<Vec<Vec<f32>>> {
        let mut read = Vec::new();
        for buffer in &self.buffers {
            let all = buffer.read(&self.gpu)?.into_iter();
            let trained = all.zip(&self.trained).filter(|(_, trained)| **trained);
            read.extend(trained.map(|(values, _)| values));
        }
        Ok(read)
    }

    /// What [`Moments::read`] gave; those of frozen parameters are zero.
    pub fn write(&self, values: &[&[f32]]) -> Result<()> {
        let lens = self.layout.lens().iter().zip(&self.trained);
        let frozen = lens.map(|(&len, &trained)| if trained { Vec::new() } else { vec![0.0; len] });
        let frozen: Vec<Vec<f32>> = frozen.collect();
        let mut given = values.iter();
        for buffer in &self.buffers {
            let all = frozen.iter().zip(&self.trained).map(|(frozen, trained)| {
                let given = trained.then(|| given.next().copied()).flatten();
                given.unwrap_or(frozen)
            });
            let all: Vec<&[f32]> = all.collect();
            buffer.write(&self.gpu, all.iter().copied())?;
        }
        Ok(())
    }

    /// Bytes on the device.
    pub fn memory(&self) -> usize {
        let tables = self.pieces.num_bytes() + self.rates.num_bytes() + self.squares.num_bytes();
        let moments: usize = self.buffers.iter().map(ParamBuffer::bytes).sum();
        moments + tables
    }

    /// That they are the moments of such weights.
    fn check(&self, weights: &Weights) -> Result<()> {
        let alike = self.layout == *weights.params().layout();
        match alike && Rc::ptr_eq(&self.gpu, weights.gpu()) {
            true => Ok(()),
            false => Err(elsewhere()),
        }
    }

    fn at<T>(&self, values: &CudaSlice<T>) -> Arg {
        Arg::Address(base(&self.gpu, values))
    }

    fn table(&self) -> Arg {
        self.at(&self.pieces)
    }

    fn launch(&self, kernel: &'static str, args: &[Arg]) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let grid = Grid::Blocks(self.count);
        // SAFETY: the arguments are in the order of the kernel's signature. Gradients, moments and parameters have one
        // layout, inside which all pieces lie; sums and rates are as many as pieces and parameters.
        unsafe { self.gpu.launch(Kernel::plain(kernel), grid, args) }
    }
}

/// Cuts the trained parameters: of each piece its first value in units of [`ALIGNMENT`], its length, its parameter.
fn pieces(layout: &Layout, trained: &[bool]) -> Result<Vec<[i32; 3]>> {
    let mut pieces = Vec::new();
    let places = layout.places().zip(trained).enumerate();
    for (index, ((start, len), _)) in places.filter(|(_, (_, trained))| **trained) {
        for first in (0..len).step_by(PIECE) {
            let numbers = [(start + first) / ALIGNMENT, PIECE.min(len - first), index];
            let numbers = numbers.map(i32::try_from);
            let [Ok(first), Ok(len), Ok(index)] = numbers else {
                let message = "more parameters than the optimiser's kernels can count";
                return Err(Error::new(Kind::Device, message));
            };
            pieces.push([first, len, index]);
        }
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_of_one_trained_parameter() {
        let layout = Layout::new([70, 3, 2 * PIECE + 1, 5]);
        let found = pieces(&layout, &[true, false, true, true]).unwrap();
        let (large, last) = (3, 3 + 2 * PIECE as i32 / 64 + 1);
        let half = PIECE as i32 / 64;
        assert_eq!(
            found,
            [
                [0, 70, 0],
                [large, PIECE as i32, 2],
                [large + half, PIECE as i32, 2],
                [large + 2 * half, 1, 2],
                [last, 5, 3],
            ]
        );
    }
}
