//! Convolutions by cuDNN, and what stands around them: `kernels/conv.cu`.

use super::frames::Gathered;
use super::{Planner, flat, wide};
use crate::exec::cuda::compile::Variant;
use crate::exec::cuda::cudnn::{Direction, Product};
use crate::exec::cuda::gpu::{Grid, Kernel};
use crate::exec::cuda::work::{Call, Convolve, Operand, Work};
use crate::ops::{BufferId, Conv, Dtype, FoldedConv, ParamId, Shape, Step};

/// Matrices begin at multiples of this many values: what cuDNN and wide loads like.
const ALIGNMENT: usize = 64;

/// y = x ∗ w + b.
pub fn forward(planner: &mut Planner<'_>, step: &Step, conv: &Conv) -> Option<()> {
    folded(planner, step, &FoldedConv::plain(*conv))
}

/// The product of a step, and how its input comes to it.
struct Sides {
    product: Product,
    /// Channels of the input as it is.
    inputs: usize,
    /// Of a convolution along time: the product is that of images in which all rows that a window sees lie side by side.
    gathered: Option<Gathered>,
    /// Whether the input is float32 beside an output of another dtype: it and the weight are then widened by zeros to what a
    /// thread loads at once, which tensor cores take at full speed.
    widens: bool,
}

impl Sides {
    fn of(planner: &Planner<'_>, conv: &Conv, x: BufferId, y: BufferId) -> Option<Self> {
        let [from, to] = [x, y].map(|id| planner.extent(id).shape);
        let dtype = planner.dtype(y);
        let images = conv.unfolded();
        let gathered = images.map(|_| Gathered::by(planner, conv, x, y));
        let time = gathered.as_ref().map_or(1, |gathered| gathered.time);
        let side_by_side = Shape {
            channels: time * from.channels,
            ..from
        };
        let mut product = Product::of(&images.unwrap_or(*conv), side_by_side, to, dtype)?;
        let widens = match (planner.dtype(x), dtype) {
            (Dtype::Float32, Dtype::Bf16) => true,
            (Dtype::Float32, Dtype::Float32) | (Dtype::Bf16, Dtype::Bf16) => false,
            (Dtype::Bf16, Dtype::Float32) => return None,
        };
        if widens {
            let width = Variant::wide(dtype).width;
            product.from.channels = side_by_side.channels.next_multiple_of(width);
        }
        Some(Self {
            product,
            inputs: from.channels,
            gathered,
            widens,
        })
    }

    /// Rows of the input that a window sees.
    fn time(&self) -> usize {
        self.gathered.as_ref().map_or(1, |gathered| gathered.time)
    }

    /// From one packed matrix to the next.
    fn stride(&self) -> usize {
        self.product.weights().next_multiple_of(ALIGNMENT)
    }
}

/// What a step queues so far, and its workspaces.
#[derive(Default)]
struct Queue {
    work: Work,
    workspaces: Vec<BufferId>,
}

impl Queue {
    /// What the product reads of x, rows of `like`: shifted, gathered, widened, or as it is.
    fn input(
        &mut self,
        planner: &mut Planner<'_>,
        step: &Step,
        (sides, shift): (&Sides, Option<usize>),
        (x, like): (BufferId, BufferId),
    ) -> Option<BufferId> {
        let mut input = x;
        if let Some(div) = shift {
            input = self.shifted(planner, step, x, div);
        }
        if let Some(gathered) = &sides.gathered {
            // No step shifts and looks along time.
            input = shift
                .is_none()
                .then(|| self.gathered(planner, step, gathered, x))?;
        }
        if sides.widens {
            input = self.widened(planner, step, sides, (input, like));
        }
        Some(input)
    }

    fn gathered(
        &mut self,
        planner: &mut Planner<'_>,
        step: &Step,
        gathered: &Gathered,
        x: BufferId,
    ) -> BufferId {
        let len = gathered.rows() * gathered.time * planner.row(x);
        let y = planner.workspace(step, "gathered", len, planner.dtype(x));
        self.work.push(gathered.gather(planner, x, y));
        self.workspaces.push(y);
        y
    }

    /// A shifted copy of x.
    fn shifted(
        &mut self,
        planner: &mut Planner<'_>,
        step: &Step,
        x: BufferId,
        div: usize,
    ) -> BufferId {
        let (len, dtype) = (planner.plan.places[x].len, planner.dtype(x));
        let y = planner.workspace(step, "shifted", len, dtype);
        self.work.push(super::shift::copy(planner, div, (x, y)));
        self.workspaces.push(y);
        y
    }

    /// A copy of x with as many channels as the product wants.
    fn widened(
        &mut self,
        planner: &mut Planner<'_>,
        step: &Step,
        sides: &Sides,
        (x, like): (BufferId, BufferId),
    ) -> BufferId {
        let Product { from, dtype, .. } = sides.product;
        let length = planner.rows(like) * from.count();
        let y = planner.workspace(step, "widened", length, dtype);
        let kernel = Kernel {
            name: "widen",
            variant: Variant::wide(dtype),
        };
        let operands = [
            Operand::buffer(x),
            Operand::Count(length),
            Operand::int(sides.time() * sides.inputs),
            Operand::int(from.channels),
            Operand::buffer(y),
        ];
        self.work.push(flat(kernel, length, operands));
        self.workspaces.push(y);
        y
    }
}

/// With everything folded.
pub fn folded(planner: &mut Planner<'_>, step: &Step, folded: &FoldedConv) -> Option<()> {
    let (x, y) = (step.reads[0], step.writes[0]);
    let sides = Sides::of(planner, &folded.conv, x, y)?;
    let residual = if folded.residual {
        Some(step.reads[1])
    } else {
        None
    };
    let fits = |id: BufferId| planner.dtype(id) == planner.dtype(y);
    if !residual.is_none_or(fits) || (folded.norm.is_some() && folded.conv.bias.is_some()) {
        return None;
    }
    let packed = packed(planner, step, folded, &sides);
    let mut queue = Queue::default();
    let input = queue.input(planner, step, (&sides, folded.shift), (x, y))?;
    let Product { from, to, .. } = sides.product;
    for (rows, matrix) in planner.layout(y).runs(&packed.branches) {
        let product = planner.product(step, (sides.product, Direction::Forward), rows.len());
        let first = rows.start * to.count();
        queue.work.push(Call::Convolve(Convolve {
            product,
            reads: [
                Operand::from(input, rows.start * from.count()),
                Operand::from(packed.weight, matrix * sides.stride()),
            ],
            write: Operand::from(y, first),
        }));
        let bias = match packed.bias {
            Some(bias) => Operand::from(bias, matrix * to.channels),
            None => Operand::param(folded.conv.bias),
        };
        let residual = residual.map_or(Operand::Null, |id| Operand::from(id, first));
        let behind = [bias, residual, Operand::flag(folded.relu)];
        let finish = finish(&sides.product, rows.len(), behind, Operand::from(y, first));
        queue.work.extend(finish);
    }
    let packed = [packed.weight].into_iter().chain(packed.bias);
    let reads = step.reads.iter().copied().chain(packed).collect();
    planner.task_over(step, queue.work, reads, queue.workspaces);
    Some(())
}

/// What follows a product of some rows, if anything does: bias, residual, ReLU, in place.
fn finish(product: &Product, rows: usize, behind: [Operand; 3], y: Operand) -> Option<Call> {
    let Product { to, dtype, .. } = product;
    let operands = [
        behind[0],
        behind[1],
        behind[2],
        Operand::int(to.count()),
        Operand::int(to.channels),
        y,
    ];
    let grid = Grid::Values {
        length: to.count(),
        parts: rows,
    };
    let is_needed = behind != [Operand::Null, Operand::Null, Operand::flag(false)];
    let kernel = wide("finish", *dtype, &[to.channels]);
    is_needed.then(|| Call::launch(kernel, grid, operands))
}

/// The weight as cuDNN wants it, the bias that a folded norm leaves, and the branches that have one of each for themselves.
struct Packed {
    weight: BufferId,
    bias: Option<BufferId>,
    branches: Vec<usize>,
}

fn packed(planner: &mut Planner<'_>, step: &Step, folded: &FoldedConv, sides: &Sides) -> Packed {
    let branches = match folded.is_private() {
        true => planner.program.batch.present(),
        false => Vec::new(),
    };
    let Product { to, dtype, .. } = sides.product;
    let count = branches.len().max(1);
    let weight = planner.workspace(step, "weight", count * sides.stride(), dtype);
    let bias = folded
        .norm
        .as_ref()
        .map(|_| planner.workspace(step, "bias", count * to.channels, Dtype::Float32));
    // Without private parts the first branch stands for all.
    let all = if branches.is_empty() {
        &[0][..]
    } else {
        &branches
    };
    let mut work = Work::new();
    for (matrix, &branch) in all.iter().enumerate() {
        let private = Private::of(folded, branch);
        let w = Operand::from(weight, matrix * sides.stride());
        work.push(pack_weight(sides, folded.conv.weight, private, w));
        if let Some(bias) = bias {
            let b = Operand::from(bias, matrix * to.channels);
            let [mean, var, gamma, beta, eps] = private.norm;
            let operands = [beta, mean, var, gamma, eps, Operand::int(to.channels), b];
            work.push(flat(Kernel::plain("fold_bias"), to.channels, operands));
        }
    }
    let writes = [weight].into_iter().chain(bias).collect();
    planner.pack(step, work, writes, planner.values(folded.conv.weight));
    Packed {
        weight,
        bias,
        branches,
    }
}

/// What evaluation folds into a branch's weight; null where there is nothing.
#[derive(Clone, Copy)]
struct Private {
    alter: Operand,
    /// Running mean and variance, weight, bias, and what is added to the variance.
    norm: [Operand; 5],
}

impl Private {
    const NOTHING: Self = Self {
        alter: Operand::Null,
        norm: [
            Operand::Null,
            Operand::Null,
            Operand::Null,
            Operand::Null,
            Operand::Double(0.0),
        ],
    };

    fn of(folded: &FoldedConv, branch: usize) -> Self {
        let norm = folded.norm.as_ref().map(|norm| {
            let of = norm.of(branch);
            [
                Operand::RunningMean(of.stat),
                Operand::RunningVar(of.stat),
                Operand::Param(of.weight),
                Operand::Param(of.bias),
                Operand::Double(norm.eps),
            ]
        });
        Self {
            alter: Operand::param(folded.alter.get(branch).copied()),
            norm: norm.unwrap_or(Self::NOTHING.norm),
        }
    }
}

fn pack_weight(sides: &Sides, weight: ParamId, private: Private, w: Operand) -> Call {
    let Product {
        from, to, dtype, ..
    } = sides.product;
    let (width, taps) = (from.channels, sides.product.taps());
    let [_, var, gamma, _, eps] = private.norm;
    let operands = [
        Operand::Param(weight),
        private.alter,
        var,
        gamma,
        eps,
        Operand::int(sides.inputs),
        Operand::int(sides.time()),
        Operand::int(width),
        Operand::int(taps),
        w,
    ];
    let grid = Grid::Values {
        length: width * taps,
        parts: to.channels,
    };
    Call::launch(Kernel::single("pack_weight", dtype), grid, operands)
}

/// dx from dy.
pub fn back_input(planner: &mut Planner<'_>, step: &Step, conv: &Conv) -> Option<()> {
    let (dy, dx) = (step.reads[0], step.writes[0]);
    planner.common_dtype(step)?;
    let sides = Sides::of(planner, conv, dx, dy)?;
    let w = planner.workspace(step, "weight.backward", sides.stride(), sides.product.dtype);
    let pack = pack_weight(&sides, conv.weight, Private::NOTHING, Operand::buffer(w));
    planner.pack(step, vec![pack], vec![w], planner.values(conv.weight));
    let (product, rows) = (sides.product, planner.rows(dy));
    let mut queue = Queue::default();
    let to = match sides.gathered {
        Some(_) => {
            let len = rows * product.from.count();
            planner.workspace(step, "gathered", len, product.dtype)
        }
        None => dx,
    };
    queue.work.push(Call::Convolve(Convolve {
        product: planner.product(step, (product, Direction::InputGradient), rows),
        reads: [dy, w].map(Operand::buffer),
        write: Operand::buffer(to),
    }));
    if let Some(gathered) = &sides.gathered {
        queue.work.push(gathered.add_up(planner, to, dx));
        queue.workspaces.push(to);
    }
    planner.task_over(step, queue.work, vec![dy, w], queue.workspaces);
    Some(())
}

/// dw from x and dy.
pub fn back_weight(planner: &mut Planner<'_>, step: &Step, conv: &Conv) -> Option<()> {
    let (x, dy) = (step.reads[0], step.reads[1]);
    let sides = Sides::of(planner, conv, x, dy)?;
    let mut queue = Queue::default();
    let input = queue.input(planner, step, (&sides, None), (x, dy))?;
    let Product {
        from, to, dtype, ..
    } = sides.product;
    let dw = planner.workspace(step, "weight.gradient", sides.product.weights(), dtype);
    let product = (sides.product, Direction::WeightGradient);
    queue.work.push(Call::Convolve(Convolve {
        product: planner.product(step, product, planner.rows(dy)),
        reads: [input, dy].map(Operand::buffer),
        write: Operand::buffer(dw),
    }));
    let taps = sides.product.taps();
    let operands = [
        Operand::buffer(dw),
        Operand::int(sides.inputs),
        Operand::int(sides.time()),
        Operand::int(from.channels),
        Operand::int(taps),
        Operand::Gradient(conv.weight),
    ];
    let grid = Grid::Values {
        length: sides.inputs * sides.time() * taps,
        parts: to.channels,
    };
    let kernel = Kernel::single("unpack_gradient", dtype);
    queue.work.push(Call::launch(kernel, grid, operands));
    queue.workspaces.push(dw);
    planner.task_with(step, queue.work, queue.workspaces);
    Some(())
}

/// db: the sum of dy's pixels.
pub fn back_bias(planner: &mut Planner<'_>, step: &Step, bias: ParamId) -> Option<()> {
    let dy = step.reads[0];
    let (shape, rows) = (planner.extent(dy).shape, planner.rows(dy));
    let gradient = Operand::Gradient(bias);
    let add = |from: BufferId| {
        super::shift::add_rows(Operand::buffer(from), rows, shape.channels, gradient)
    };
    if planner.dtype(dy) == Dtype::Float32 && shape.pixels() == 1 {
        planner.task(step, vec![add(dy)]);
        return Some(());
    }
    let len = rows * shape.channels;
    let sums = planner.workspace(step, "sums", len, Dtype::Float32);
    let work = vec![
        super::mean::row_sums(planner, (dy, None), 1.0, sums)?,
        add(sums),
    ];
    planner.task_with(step, work, vec![sums]);
    Some(())
}
