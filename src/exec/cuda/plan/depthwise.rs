//! Convolutions with a group for each channel: `kernels/depthwise.cu`.

use super::{Planner, flat, wide};
use crate::exec::cuda::gpu::{Grid, Kernel};
use crate::exec::cuda::work::{Call, Operand, Work};
use crate::ops::{BufferId, Conv, Dtype, Shape, Step};

/// A convolution that the kernels compute: of stride 1 with a padding that keeps the size.
struct Depthwise {
    conv: Conv,
    shape: Shape,
    dtype: Dtype,
}

impl Depthwise {
    fn of(planner: &Planner<'_>, conv: &Conv, [x, y]: [BufferId; 2]) -> Option<Self> {
        let shape = planner.extent(x).shape;
        let keeps =
            |axis: usize| conv.stride[axis] == 1 && conv.kernel[axis] == 2 * conv.padding[axis] + 1;
        let fits = conv.groups == shape.channels
            && planner.extent(y) == planner.extent(x)
            && (0..3).all(keeps);
        let dtype = planner.common([x, y])?;
        fits.then_some(Self {
            conv: *conv,
            shape,
            dtype,
        })
    }

    /// Time, lines and columns of the kernel, height, width and channels of the images: as the kernels take them.
    fn sizes(&self) -> [Operand; 6] {
        let [time, lines, columns] = self.conv.kernel;
        let Shape {
            channels,
            height,
            width,
        } = self.shape;
        [time, lines, columns, height, width, channels].map(Operand::int)
    }

    fn kernel(&self, name: &'static str) -> Kernel {
        wide(name, self.dtype, &[self.shape.channels])
    }

    /// y from x by the weight, or turned round.
    fn queue(&self, planner: &mut Planner<'_>, step: &Step, [x, y]: [BufferId; 2], turned: bool) {
        let channels = self.shape.channels;
        let len = self.conv.taps() * channels;
        let w = planner.workspace(step, "weight", len, Dtype::Float32);
        let operands = [
            Operand::Param(self.conv.weight),
            Operand::int(self.conv.taps()),
            Operand::flag(turned),
            Operand::int(len),
            Operand::int(channels),
            Operand::buffer(w),
        ];
        let pack = flat(Kernel::plain("pack_taps"), len, operands);
        planner.pack(step, vec![pack], vec![w], len);
        let spans = planner.spans(x, 0);
        let mut operands = vec![Operand::buffer(x), Operand::buffer(w), spans];
        operands.extend(self.sizes());
        operands.push(Operand::buffer(y));
        let grid = planner.grid(y);
        let mut work: Work = vec![Call::launch(self.kernel("depthwise"), grid, operands)];
        if let Some(bias) = self.conv.bias.filter(|_| !turned) {
            let operands = [
                Operand::Param(bias),
                Operand::Null,
                Operand::flag(false),
                Operand::int(self.shape.count()),
                Operand::int(channels),
                Operand::buffer(y),
            ];
            work.push(Call::launch(self.kernel("finish"), grid, operands));
        }
        planner.task_over(step, work, vec![x, w], Vec::new());
    }
}

pub fn forward(planner: &mut Planner<'_>, step: &Step, conv: &Conv) -> Option<()> {
    let sides = [step.reads[0], step.writes[0]];
    Depthwise::of(planner, conv, sides)?.queue(planner, step, sides, false);
    Some(())
}

/// dx from dy.
pub fn back_input(planner: &mut Planner<'_>, step: &Step, conv: &Conv) -> Option<()> {
    let sides = [step.reads[0], step.writes[0]];
    Depthwise::of(planner, conv, sides)?.queue(planner, step, sides, true);
    Some(())
}

/// dw from x and dy.
pub fn back_weight(planner: &mut Planner<'_>, step: &Step, conv: &Conv) -> Option<()> {
    let (x, dy) = (step.reads[0], step.reads[1]);
    let depthwise = Depthwise::of(planner, conv, [x, dy])?;
    let (rows, taps, channels) = (planner.rows(dy), conv.taps(), depthwise.shape.channels);
    let len = rows * taps * channels;
    let partials = planner.workspace(step, "weight.partials", len, Dtype::Float32);
    let spans = planner.spans(x, 0);
    let mut operands = vec![Operand::buffer(x), Operand::buffer(dy), spans];
    operands.extend(depthwise.sizes());
    operands.push(Operand::buffer(partials));
    let grid = Grid::Sums {
        channels,
        parts: rows,
    };
    let sums = Call::launch(depthwise.kernel("row_taps"), grid, operands);
    let operands = [
        Operand::buffer(partials),
        Operand::int(rows),
        Operand::int(taps),
        Operand::int(channels),
        Operand::Gradient(conv.weight),
    ];
    let grid = Grid::Sums {
        channels: taps * channels,
        parts: 1,
    };
    let add = Call::launch(Kernel::plain("add_taps"), grid, operands);
    planner.task_with(step, vec![sums, add], vec![partials]);
    Some(())
}
