//! The plans of convolutions that products of matrices compute.

use super::{
    Algorithm, Blocks, ConvGeometry, DataGradient, Direct, Forward, Products, WeightGradient,
};
use crate::exec::cpu::element::{Element, PackAs, bf16};
use crate::exec::cpu::gather::Shifted;
use crate::exec::cpu::kernel::{Kernel, by_dtype};
use crate::exec::cpu::plan::Planner;
use crate::exec::cpu::product::Finish;
use crate::exec::cpu::{border, pack};
use crate::ops::{BufferId, Conv, Dtype, FoldedConv, ParamId, Step, shift_fold};
use crate::program::Numerics;

const PACKING: &str = "weight packing";

/// The types that a product's kernel is compiled for.
#[derive(Clone, Copy)]
enum Form {
    Float32,
    /// x float32, y bf16.
    Rounding,
    Bf16,
    /// bf16 in blocks.
    Blocks,
}

impl Form {
    /// Of a product that reads x and writes y, or reads its gradient; `None` where there is none.
    fn of(
        planner: &Planner<'_>,
        geometry: &ConvGeometry,
        (x, y): (BufferId, BufferId),
    ) -> Option<Self> {
        match (geometry.algorithm, planner.dtype(x), planner.dtype(y)) {
            (Algorithm::Amx, Dtype::Bf16, Dtype::Bf16) => Some(Self::Blocks),
            (Algorithm::Amx, ..) | (_, Dtype::Bf16, Dtype::Float32) => None,
            (_, Dtype::Float32, Dtype::Float32) => Some(Self::Float32),
            (_, Dtype::Float32, Dtype::Bf16) => Some(Self::Rounding),
            (_, Dtype::Bf16, Dtype::Bf16) => Some(Self::Bf16),
        }
    }
}

/// An expression for the types of a form.
macro_rules! by_form {
    ($form:expr, $x:ident, $y:ident, $products:ident => $body:expr) => {
        match $form {
            Form::Float32 => by_form!(@ f32, f32, Direct, $x, $y, $products => $body),
            Form::Rounding => by_form!(@ f32, bf16, Direct, $x, $y, $products => $body),
            Form::Bf16 => by_form!(@ bf16, bf16, Direct, $x, $y, $products => $body),
            Form::Blocks => by_form!(@ bf16, bf16, Blocks, $x, $y, $products => $body),
        }
    };
    (@ $a:ty, $b:ty, $c:ty, $x:ident, $y:ident, $products:ident => $body:expr) => {{
        type $x = $a;
        type $y = $b;
        type $products = $c;
        $body
    }};
}

/// y = x ∗ w + b.
pub fn forward(planner: &mut Planner<'_>, step: &Step, conv: &Conv) -> Option<()> {
    let plain = FoldedConv::plain(*conv);
    product(planner, step, &plain, (&step.reads, &step.writes))
}

/// With everything folded.
pub fn folded(planner: &mut Planner<'_>, step: &Step, folded: &FoldedConv) -> Option<()> {
    product(planner, step, folded, (&step.reads, &step.writes))
}

/// The geometry of the products, and the buffer that they read, which may have a border.
fn input(
    planner: &mut Planner<'_>,
    step: &Step,
    conv: &Conv,
    (x, y): (BufferId, BufferId),
    shifts: bool,
) -> Option<(ConvGeometry, BufferId)> {
    let [from, to] = [x, y].map(|id| planner.extent(id).shape);
    let geometry = ConvGeometry::of(conv, from, to)?;
    let (geometry, x) = bordered(planner, step, geometry, x);
    let numerics = planner.program.numerics;
    let geometry = geometry.suited(numerics, planner.dtype(x), shifts)?;
    Some((geometry, x))
}

/// The same convolution of a copy of x with a border, where x is the input and that is quicker. AMX reads it rounded.
fn bordered(
    planner: &mut Planner<'_>,
    step: &Step,
    geometry: ConvGeometry,
    x: BufferId,
) -> (ConvGeometry, BufferId) {
    if let Some(&(y, known)) = planner.own.get(&x)
        && known.padding == 0
        && Some(known) == geometry.bordered()
    {
        return (known, y);
    }
    let wide = geometry.bordered().filter(|_| x == planner.program.input);
    let Some(wide) = wide else {
        return (geometry, x);
    };
    let dtype = match planner.program.numerics {
        Numerics::Bf16Amx => Dtype::Bf16,
        Numerics::Float32 | Numerics::Bf16 => Dtype::Float32,
    };
    let len = planner.layout(x).rows * wide.from.count();
    let y = planner.workspace(step, "bordered", len, dtype);
    let (from, border) = (geometry.from, geometry.padding);
    let kernel = Kernel::new(move |buffers, _| {
        let x = buffers.x(0);
        by_dtype!(dtype, E => border::surround(from, border, x, buffers.y::<E>()));
    });
    planner.extra(step, "border", kernel, (vec![x], vec![y]), 0);
    planner.own.insert(x, (y, wide));
    (wide, y)
}

fn product(
    planner: &mut Planner<'_>,
    step: &Step,
    folded: &FoldedConv,
    (reads, writes): (&[BufferId], &[BufferId]),
) -> Option<()> {
    let (x, y) = (reads[0], writes[0]);
    let (geometry, x) = input(planner, step, &folded.conv, (x, y), folded.shift.is_some())?;
    // Before anything is packed: a product that there is no kernel for leaves nothing behind.
    let form = Form::of(planner, &geometry, (x, y))?;
    let (packed, branches) = packed(planner, step, folded, &geometry, x);
    let reads = [x].into_iter().chain(packed).chain(reads.get(1).copied());
    let job = Product {
        geometry,
        folded: folded.clone(),
        branches,
        rate: planner.extent(y).rate,
    };
    let kernel = by_form!(form, X, Y, P => job.kernel::<X, Y, P>());
    planner.task_over(step, kernel, reads.collect(), writes.to_vec());
    Some(())
}

/// The weight as matrices, and the folded bias if a norm is folded: their buffers; and the branches that have a matrix each.
fn packed(
    planner: &mut Planner<'_>,
    step: &Step,
    folded: &FoldedConv,
    geometry: &ConvGeometry,
    x: BufferId,
) -> (Vec<BufferId>, Vec<usize>) {
    let branches = match folded.is_private() {
        true => planner.program.batch.present(),
        false => Vec::new(),
    };
    let (count, dtype) = (branches.len().max(1), planner.dtype(x));
    let w = planner.workspace(step, "weight", count * geometry.packed_forward(), dtype);
    let bias = folded.norm.as_ref().map(|_| {
        let len = count * geometry.to.channels;
        planner.workspace(step, "bias", len, Dtype::Float32)
    });
    let buffers: Vec<BufferId> = [w].into_iter().chain(bias).collect();
    let kernel = pack_kernel(dtype, *geometry, folded.clone(), branches.clone());
    planner.extra(
        step,
        PACKING,
        kernel,
        (Vec::new(), buffers.clone()),
        geometry.weights(),
    );
    (buffers, branches)
}

fn pack_kernel(
    dtype: Dtype,
    geometry: ConvGeometry,
    folded: FoldedConv,
    branches: Vec<usize>,
) -> Kernel {
    Kernel::new(move |buffers, context| {
        let mut writes = buffers.writes.into_iter();
        let (Some(w), b) = (writes.next(), writes.next()) else {
            return;
        };
        let packing = pack::Packing {
            conv: &geometry,
            weight: context.params[folded.conv.weight],
            alter: &folded.alter,
            norm: folded.norm.as_ref(),
            branches: &branches,
        };
        let b = b.map_or(&mut [][..], |b| b.of());
        by_dtype!(dtype, E => {
            pack::all_branches(&packing, context.params, context.stats, w.of::<E>(), b);
        });
    })
}

/// A forward product.
struct Product {
    geometry: ConvGeometry,
    folded: FoldedConv,
    /// Those that have a matrix of their own; empty: one for all rows.
    branches: Vec<usize>,
    rate: crate::ops::Rate,
}

impl Product {
    /// Reads x, the packed weight, the folded bias and the residual, those that there are.
    fn kernel<X: Element, Y: Element, P: Products<X, Y> + 'static>(self) -> Kernel {
        let scratch = self.geometry.forward_scratch();
        Kernel::with_scratch(scratch, move |buffers, context| {
            let (geometry, folded) = (&self.geometry, &self.folded);
            let layout = context.batch.at(self.rate);
            let (x, w) = (buffers.x::<X>(0), buffers.x::<X>(1));
            let bias = folded.norm.as_ref().map(|_| buffers.x::<f32>(2));
            let residual = 2 + usize::from(bias.is_some());
            let residual = buffers.maybe::<Y>(residual);
            let y = buffers.y::<Y>();
            let shifted = folded.shift.map(|div| Shifted {
                fold: shift_fold(geometry.from.channels, div),
                neighbours: &layout.neighbours,
            });
            let (channels, matrix) = (geometry.to.channels, geometry.packed_forward());
            for (rows, index) in layout.runs(&self.branches) {
                let private = bias.map(|bias| &bias[index * channels..(index + 1) * channels]);
                let shared = folded.conv.bias.map(|id| context.params[id]);
                let product = Forward {
                    conv: geometry,
                    x,
                    w: &w[index * matrix..(index + 1) * matrix],
                    shifted,
                    finish: Finish {
                        bias: private.or(shared),
                        residual,
                        relu: folded.relu,
                    },
                };
                product.run::<P>(rows, y, context.scratch);
            }
        })
    }
}

/// dx from dy.
pub fn back_input(planner: &mut Planner<'_>, step: &Step, conv: &Conv) -> Option<()> {
    let (dy, dx) = (step.reads[0], step.writes[0]);
    let [from, to] = [dx, dy].map(|id| planner.extent(id).shape);
    let geometry = ConvGeometry::of(conv, from, to)?;
    let dtype = planner.common_dtype(step)?;
    let geometry = geometry.suited(planner.program.numerics, dtype, false)?;
    let len = geometry.packed_backward();
    let w = planner.workspace(step, "weight.backward", len, dtype);
    let weight = conv.weight;
    let pack = Kernel::new(move |buffers, context| {
        let weight = context.params[weight];
        by_dtype!(dtype, E => pack::backward(&geometry, weight, buffers.y::<E>()));
    });
    planner.extra(
        step,
        PACKING,
        pack,
        (Vec::new(), vec![w]),
        geometry.weights(),
    );
    let kernel = match (geometry.algorithm, dtype) {
        (Algorithm::Amx, _) => data_gradient::<bf16, Blocks>(geometry),
        (Algorithm::Direct | Algorithm::Winograd, Dtype::Float32) => {
            data_gradient::<f32, Direct>(geometry)
        }
        (Algorithm::Direct | Algorithm::Winograd, Dtype::Bf16) => {
            data_gradient::<bf16, Direct>(geometry)
        }
    };
    planner.task_over(step, kernel, vec![dy, w], vec![dx]);
    Some(())
}

fn data_gradient<E: Element, P: Products<E, E> + 'static>(conv: ConvGeometry) -> Kernel {
    Kernel::with_scratch(conv.backward_scratch(), move |buffers, context| {
        let (dy, w) = (buffers.x(0), buffers.x(1));
        let gradient = DataGradient { conv: &conv, dy, w };
        gradient.run::<P>(buffers.y::<E>(), context.scratch);
    })
}

/// dw from x and dy.
pub fn back_weight(planner: &mut Planner<'_>, step: &Step, conv: &Conv) -> Option<()> {
    let (x, dy) = (step.reads[0], step.reads[1]);
    let (geometry, x) = input(planner, step, conv, (x, dy), false)?;
    let form = Form::of(planner, &geometry, (x, dy))?;
    let frames = planner.layout(dy).rows;
    let len = geometry.weight_partials(frames);
    let job = Weight {
        geometry,
        frames,
        weight: conv.weight,
    };
    let kernel = by_form!(form, X, Y, P => job.kernel::<X, Y, P>());
    let partials = planner.workspace(step, "weight.partials", len, Dtype::Float32);
    planner.task_over(step, kernel, vec![x, dy], vec![partials]);
    Some(())
}

/// The gradient of a weight.
struct Weight {
    geometry: ConvGeometry,
    frames: usize,
    weight: ParamId,
}

impl Weight {
    fn kernel<X: Element, Y: Element, P: Products<X, Y> + 'static>(self) -> Kernel {
        let scratch = self.geometry.weight_scratch();
        Kernel::with_scratch(scratch, move |buffers, context| {
            let product = WeightGradient {
                conv: &self.geometry,
                frames: self.frames,
                x: buffers.x::<X>(0),
                dy: buffers.x::<Y>(1),
            };
            let gradient = &mut *context.grads[self.weight];
            P::weight_gradient(&product, buffers.y(), gradient, context.scratch);
        })
    }
}

/// db: the sum of dy's rows.
pub fn back_bias(planner: &mut Planner<'_>, step: &Step, bias: ParamId) -> Option<()> {
    fn kernel<E: PackAs<E>>(bias: ParamId) -> Kernel {
        Kernel::new(move |buffers, context| {
            super::back_bias(buffers.x::<E>(0), context.grads[bias]);
        })
    }
    let kernel = by_dtype!(planner.dtype(step.reads[0]), E => kernel::<E>(bias));
    planner.task(step, kernel);
    Some(())
}
