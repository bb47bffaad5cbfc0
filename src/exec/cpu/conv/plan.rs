//! The plans of convolutions that products of matrices compute.

use std::borrow::Cow;

use super::{
    Algorithm, Blocks, ConvGeometry, DataGradient, Direct, Forward, Products, WeightGradient,
};
use crate::exec::cpu::gather::Shifted;
use crate::exec::cpu::kernel::{Kernel, by_dtype};
use crate::exec::cpu::plan::Planner;
use crate::exec::cpu::product::Finish;
use crate::exec::cpu::scalar::{PackAs, Scalar, bf16};
use crate::exec::cpu::unfold::Unfolded;
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
    /// Whether some product has these types.
    fn possible(planner: &Planner<'_>, (x, y): (BufferId, BufferId)) -> Option<()> {
        let types = (planner.dtype(x), planner.dtype(y));
        (types != (Dtype::Bf16, Dtype::Float32)).then_some(())
    }

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

/// A convolution by products of matrices.
struct Images {
    geometry: ConvGeometry,
    /// What the products read: x, a copy with a border, or the rows that each window sees side by side.
    x: BufferId,
    /// Of a convolution along time.
    unfolded: Option<Unfolded>,
}

impl Images {
    /// From x to y, or to y's gradient.
    fn of(
        planner: &mut Planner<'_>,
        step: &Step,
        conv: &Conv,
        (x, y): (BufferId, BufferId),
        shifts: bool,
    ) -> Option<Self> {
        let unfolded = Unfolded::of(planner, conv, x, y);
        let (geometry, dtype) = (
            geometry(planner, &unfolded, conv, (x, y))?,
            planner.dtype(x),
        );
        // Before anything is copied: a convolution that there is no kernel for leaves nothing behind.
        geometry.suited(planner.program.numerics, dtype, shifts)?;
        let image = is_image(planner, x);
        let x = match &unfolded {
            Some(unfolded) => unfolded.queue(planner, step, x),
            None => x,
        };
        let (geometry, x) = match image {
            true => bordered(planner, step, geometry, x),
            false => (geometry, x),
        };
        let numerics = planner.program.numerics;
        Some(Self {
            geometry: geometry.suited(numerics, planner.dtype(x), shifts)?,
            x,
            unfolded,
        })
    }
}

/// That of the products of x.
fn geometry(
    planner: &Planner<'_>,
    unfolded: &Option<Unfolded>,
    conv: &Conv,
    (x, y): (BufferId, BufferId),
) -> Option<ConvGeometry> {
    let [from, to] = [x, y].map(|id| planner.extent(id).shape);
    match unfolded {
        Some(unfolded) => ConvGeometry::of(&unfolded.images, unfolded.shape(), to),
        None => ConvGeometry::of(conv, from, to),
    }
}

/// Whether a buffer is the input, or frames of it.
fn is_image(planner: &Planner<'_>, x: BufferId) -> bool {
    let program = planner.program;
    let frames = |step: &Step| step.writes == [x] && program.takes_images(step);
    x == program.input || program.forward.iter().any(frames)
}

/// The same convolution of a copy of x, an image, with a border, where that is quicker. AMX reads it rounded.
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
    let Some(wide) = geometry.bordered() else {
        return (geometry, x);
    };
    let dtype = match planner.program.numerics {
        Numerics::Bf16Amx => Dtype::Bf16,
        Numerics::Float32 | Numerics::Bf16 => Dtype::Float32,
    };
    let len = planner.plan.places[x].len / geometry.from.count() * wide.from.count();
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
    Form::possible(planner, (x, y))?;
    let images = Images::of(planner, step, &folded.conv, (x, y), folded.shift.is_some())?;
    let (geometry, x) = (images.geometry, images.x);
    let form = Form::of(planner, &geometry, (x, y))?;
    let (packed, branches) = packed(planner, step, folded, &images);
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
    Images {
        geometry,
        x,
        unfolded,
    }: &Images,
) -> (Vec<BufferId>, Vec<usize>) {
    let branches = match folded.is_private() {
        true => planner.program.batch.present(),
        false => Vec::new(),
    };
    let (count, dtype) = (branches.len().max(1), planner.dtype(*x));
    let w = planner.workspace(step, "weight", count * geometry.packed_forward(), dtype);
    let bias = folded.norm.as_ref().map(|_| {
        let len = count * geometry.to.channels;
        planner.workspace(step, "bias", len, Dtype::Float32)
    });
    let buffers: Vec<BufferId> = [w].into_iter().chain(bias).collect();
    let packing = Packed {
        geometry: *geometry,
        folded: folded.clone(),
        branches: branches.clone(),
        unfolded: unfolded.clone(),
    };
    let kernel = packing.kernel(dtype);
    planner.extra(
        step,
        PACKING,
        kernel,
        (Vec::new(), buffers.clone()),
        geometry.weights(),
    );
    (buffers, branches)
}

/// A weight as matrices.
struct Packed {
    geometry: ConvGeometry,
    folded: FoldedConv,
    branches: Vec<usize>,
    unfolded: Option<Unfolded>,
}

impl Packed {
    fn kernel(self, dtype: Dtype) -> Kernel {
        Kernel::new(move |buffers, context| {
            let mut writes = buffers.writes.into_iter();
            let (Some(w), b) = (writes.next(), writes.next()) else {
                return;
            };
            let weight = weight(&self.unfolded, context.params[self.folded.conv.weight]);
            let packing = pack::Packing {
                conv: &self.geometry,
                weight: &weight,
                alter: &self.folded.alter,
                norm: self.folded.norm.as_ref(),
                branches: &self.branches,
            };
            let b = b.map_or(&mut [][..], |b| b.of());
            by_dtype!(dtype, E => {
                pack::all_branches(&packing, context.params, context.stats, w.of::<E>(), b);
            });
        })
    }
}

/// A weight in the layout of the images' convolution.
fn weight<'a>(unfolded: &Option<Unfolded>, weight: &'a [f32]) -> Cow<'a, [f32]> {
    match unfolded {
        Some(unfolded) => unfolded.exchanged(weight).into(),
        None => weight.into(),
    }
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
    fn kernel<X: Scalar, Y: Scalar, P: Products<X, Y> + 'static>(self) -> Kernel {
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
    let unfolded = Unfolded::of(planner, conv, dx, dy);
    let geometry = geometry(planner, &unfolded, conv, (dx, dy))?;
    let dtype = planner.common_dtype(step)?;
    let geometry = geometry.suited(planner.program.numerics, dtype, false)?;
    let len = geometry.packed_backward();
    let w = planner.workspace(step, "weight.backward", len, dtype);
    let (id, of) = (conv.weight, unfolded.clone());
    let pack = Kernel::new(move |buffers, context| {
        let weight = weight(&of, context.params[id]);
        by_dtype!(dtype, E => pack::backward(&geometry, &weight, buffers.y::<E>()));
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
    let Some(unfolded) = unfolded else {
        planner.task_over(step, kernel, vec![dy, w], vec![dx]);
        return Some(());
    };
    let wide = planner.workspace(step, "unfolded.gradient", unfolded.len(), dtype);
    planner.task_over(step, kernel, vec![dy, w], vec![wide]);
    let fold = unfolded.fold(dtype);
    planner.extra(step, "frames, gradient", fold, (vec![wide], vec![dx]), 0);
    Some(())
}

fn data_gradient<E: Scalar, P: Products<E, E> + 'static>(conv: ConvGeometry) -> Kernel {
    Kernel::with_scratch(conv.backward_scratch(), move |buffers, context| {
        let (dy, w) = (buffers.x(0), buffers.x(1));
        let gradient = DataGradient { conv: &conv, dy, w };
        gradient.run::<P>(buffers.y::<E>(), context.scratch);
    })
}

/// dw from x and dy.
pub fn back_weight(planner: &mut Planner<'_>, step: &Step, conv: &Conv) -> Option<()> {
    let (x, dy) = (step.reads[0], step.reads[1]);
    Form::possible(planner, (x, dy))?;
    let images = Images::of(planner, step, conv, (x, dy), false)?;
    let (geometry, x) = (images.geometry, images.x);
    let form = Form::of(planner, &geometry, (x, dy))?;
    let frames = planner.layout(dy).rows;
    let len = geometry.weight_partials(frames);
    let job = Weight {
        geometry,
        frames,
        weight: conv.weight,
        unfolded: images.unfolded,
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
    unfolded: Option<Unfolded>,
}

impl Weight {
    fn kernel<X: Scalar, Y: Scalar, P: Products<X, Y> + 'static>(self) -> Kernel {
        let scratch = self.geometry.weight_scratch();
        Kernel::with_scratch(scratch, move |buffers, context| {
            let product = WeightGradient {
                conv: &self.geometry,
                frames: self.frames,
                x: buffers.x::<X>(0),
                dy: buffers.x::<Y>(1),
            };
            let gradient = &mut *context.grads[self.weight];
            let Some(unfolded) = &self.unfolded else {
                P::weight_gradient(&product, buffers.y(), gradient, context.scratch);
                return;
            };
            let mut exchanged = vec![0.0; gradient.len()];
            P::weight_gradient(&product, buffers.y(), &mut exchanged, context.scratch);
            unfolded.restore(&exchanged, gradient);
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
