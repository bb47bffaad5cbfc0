//! Step → kernel: takes a step's buffers from the arena and calls the file that computes it.

use std::time::{Duration, Instant};

use super::border;
use super::conv::{self, Blocks, Direct, Products};
use super::element::{Element, PackAs, bf16};
use super::gather::Shifted;
use super::memory::{Arena, Scratch, Values};
use super::product::Finish;
use super::simd::positive;
use super::{head, norm, pack, pool, shift};
use crate::exec::{DropoutKey, Statistics};
use crate::program::{self, Algorithm, BufferId, Mask, Op, Program, step};

/// What the steps of one pass work on.
pub struct Context<'a> {
    pub program: &'a Program,
    pub arena: &'a mut Arena,
    pub scratch: &'a Scratch,
    /// The frame count of each branch: dropout's streams are keyed by it.
    pub branches: &'a [usize],
    pub params: &'a [&'a [f32]],
    /// Of each step, forward then backward.
    pub times: &'a mut [Duration],
}

/// Calls a method that is generic over an element with that of a buffer.
macro_rules! with_element {
    ($self:ident, $buffer:expr, $method:ident($($argument:expr),*)) => {
        match $self.program.buffers[$buffer].element {
            program::Element::Float32 => $self.$method::<f32>($($argument),*),
            program::Element::Bf16 => $self.$method::<bf16>($($argument),*),
        }
    };
}

impl Context<'_> {
    /// The steps that come before all passes: packed weights.
    pub fn prepare(&mut self, stats: &Statistics) {
        for step in &self.program.prepare {
            with_element!(self, values_of(&step.op), pack_forward(&step.op, stats));
        }
    }

    /// The forward steps.
    pub fn forward(&mut self, stats: &mut Statistics, dropout: DropoutKey) {
        let program = self.program;
        for (index, step) in program.forward.iter().enumerate() {
            let start = Instant::now();
            match &step.op {
                Op::PackForward { w, .. } => with_element!(self, *w, pack_forward(&step.op, stats)),
                Op::BatchStatistics { x, .. } => {
                    with_element!(self, *x, batch_statistics(&step.op, stats));
                }
                Op::RunningStatistics { norm, coefficients } => {
                    let [coefficients] = self.arena.all([*coefficients]);
                    let batch = &program.batch;
                    norm::running(norm, batch, self.params, stats, coefficients.float32());
                }
                Op::Dropout {
                    channels,
                    probability,
                    x,
                    mask,
                    y,
                } => {
                    let [x, mask, y] = self.arena.all([*x, *mask, *y]).map(Values::float32);
                    let drawing = head::Dropout {
                        channels: *channels,
                        probability: *probability,
                        key: dropout,
                        branches: self.branches,
                    };
                    drawing.draw(&program.batch, mask);
                    head::each(x, mask, y, |x, mask| x * mask);
                }
                op => self.activation(op),
            }
            self.times[index] += start.elapsed();
        }
    }

    /// The backward steps; those that are forward steps run again among them need no statistics.
    pub fn backward(&mut self, grads: &mut [&mut [f32]]) {
        let program = self.program;
        for (index, step) in program.backward.iter().enumerate() {
            let start = Instant::now();
            match &step.op {
                Op::ConvBackWeight { conv, x, dy, .. } => {
                    use program::Element::{Bf16, Float32};
                    let element = |id: &BufferId| program.buffers[*id].element;
                    let op = &step.op;
                    match (conv.algorithm, element(x), element(dy)) {
                        (Algorithm::Amx, ..) => {
                            self.weight_gradient::<bf16, bf16, Blocks>(op, grads);
                        }
                        (_, Float32, Float32) => {
                            self.weight_gradient::<f32, f32, Direct>(op, grads);
                        }
                        (_, Float32, Bf16) => {
                            self.weight_gradient::<f32, bf16, Direct>(op, grads);
                        }
                        (_, Bf16, _) => self.weight_gradient::<bf16, bf16, Direct>(op, grads),
                    }
                }
                Op::BiasBack { bias, dy, .. } => {
                    with_element!(self, *dy, bias_back(*dy, grads[*bias]));
                }
                Op::NormalizeBack { dx, .. } => {
                    with_element!(self, *dx, normalize_back(&step.op, grads));
                }
                Op::ShiftAlterBack { dx, .. } => {
                    with_element!(self, *dx, shift_alter_back(&step.op, grads));
                }
                op => self.activation(op),
            }
            self.times[program.forward.len() + index] += start.elapsed();
        }
    }

    fn pack_forward<E: Element>(&mut self, op: &Op, stats: &Statistics) {
        let Op::PackForward {
            conv,
            weight,
            bias,
            alter,
            norm,
            branches,
            w,
            b,
        } = op
        else {
            return;
        };
        let [w, b] = self.arena.get([Some(*w), *b]);
        let packing = pack::Packing {
            conv,
            weight: self.params[*weight],
            bias: bias.map(|id| self.params[id]),
            alter,
            norm: norm.as_ref(),
            branches,
        };
        pack::all_branches(&packing, self.params, stats, w.of::<E>(), b.float32());
    }

    fn batch_statistics<E: Element>(&mut self, op: &Op, stats: &mut Statistics) {
        let Op::BatchStatistics {
            norm,
            pixels,
            x,
            partials,
            coefficients,
        } = op
        else {
            return;
        };
        let [x, partials, coefficients] = self.arena.all([*x, *partials, *coefficients]);
        let partials = partials.float32();
        norm::frame_statistics(norm, x.of::<E>(), partials, self.scratch);
        let site = norm::Site {
            norm,
            batch: &self.program.batch,
            pixels: *pixels,
        };
        norm::group_statistics(site, partials, self.params, stats, coefficients.float32());
    }

    /// Steps that read and write activations alone, forward or backward.
    fn activation(&mut self, op: &Op) {
        match op {
            Op::Conv { conv, x, y, .. } => {
                use program::Element::{Bf16, Float32};
                let element = |id: &BufferId| self.program.buffers[*id].element;
                match (conv.algorithm, element(x), element(y)) {
                    (Algorithm::Amx, ..) => self.conv::<bf16, bf16, Blocks>(op),
                    (_, Float32, Float32) => self.conv::<f32, f32, Direct>(op),
                    (_, Float32, Bf16) => self.conv::<f32, bf16, Direct>(op),
                    (_, Bf16, _) => self.conv::<bf16, bf16, Direct>(op),
                }
            }
            op => with_element!(self, values_of(op), each_activation(op)),
        }
    }

    /// Those whose activations are all of one element.
    fn each_activation<E: PackAs<E>>(&mut self, op: &Op) {
        match op {
            Op::Border { from, border, x, y } => {
                let [x, y] = self.arena.all([*x, *y]);
                border::surround(*from, *border, x.float32(), y.of::<E>());
            }
            Op::PackBackward { conv, weight, w } => {
                let [w] = self.arena.all([*w]).map(Values::of::<E>);
                pack::backward(conv, self.params[*weight], w);
            }
            Op::ConvBackData { conv, dy, w, dx } if conv.algorithm == Algorithm::Amx => {
                let [dy, w, dx] = self.arena.all([*dy, *w, *dx]).map(Values::of);
                conv::DataGradient { conv, dy, w }.run::<Blocks>(dx, self.scratch);
            }
            Op::ConvBackData { conv, dy, w, dx } => {
                let [dy, w, dx] = self.arena.all([*dy, *w, *dx]).map(Values::of::<E>);
                conv::DataGradient { conv, dy, w }.run::<Direct>(dx, self.scratch);
            }
            Op::Normalize { .. } => self.normalize::<E>(op),
            Op::ShiftAlter {
                shape,
                shift,
                alter,
                x,
                y,
            } => {
                let [x, y] = self.arena.all([*x, *y]).map(Values::of::<E>);
                let plan = shift::Plan {
                    batch: &self.program.batch,
                    params: self.params,
                    shape: *shape,
                    shift: *shift,
                    alter,
                };
                shift::forward(plan, x, y);
            }
            op => self.pooling::<E>(op),
        }
    }

    fn pooling<E: Element>(&mut self, op: &Op) {
        let batch = &self.program.batch;
        match *op {
            Op::MaxPool { from, to, x, y } => {
                let [x, y] = self.arena.all([x, y]).map(Values::of::<E>);
                pool::max(pool::Shapes { from, to }, x, y);
            }
            Op::MaxPoolBack {
                from,
                to,
                x,
                dy,
                dx,
            } => {
                let [x, dy, dx] = self.arena.all([x, dy, dx]).map(Values::of::<E>);
                pool::max_back(pool::Shapes { from, to }, x, dy, dx);
            }
            Op::AveragePool { from, x, y } => {
                let [x, y] = self.arena.all([x, y]);
                pool::average(from, x.of::<E>(), y.float32());
            }
            Op::AveragePoolBack { from, dy, dx } => {
                let [dy, dx] = self.arena.all([dy, dx]);
                pool::average_back(from, dy.float32(), dx.of::<E>());
            }
            Op::FrameMean { channels, x, y } => {
                let [x, y] = self.arena.all([x, y]).map(Values::float32);
                head::frame_mean(batch, channels, x, y);
            }
            Op::FrameMeanBack { channels, dy, dx } => {
                let [dy, dx] = self.arena.all([dy, dx]).map(Values::float32);
                head::frame_mean_back(batch, channels, dy, dx);
            }
            ref op => self.each::<E>(op),
        }
    }

    /// Steps over single values.
    fn each<E: Element>(&mut self, op: &Op) {
        match *op {
            Op::Relu { x, y } => {
                let [x, y] = self.arena.all([x, y]).map(Values::of::<E>);
                head::each(x, x, y, |x, _| positive(x));
            }
            Op::ReluBack { dy, y, dx } => {
                let [dy, y, dx] = self.arena.all([dy, y, dx]).map(Values::of::<E>);
                head::each(dy, y, dx, |dy, y| if y > 0.0 { dy } else { 0.0 });
            }
            Op::Add { a, b, y } => {
                let [a, b, y] = self.arena.all([a, b, y]).map(Values::of::<E>);
                head::each(a, b, y, |a, b| a + b);
            }
            Op::Multiply { a, b, y } => {
                let [a, b, y] = self.arena.all([a, b, y]).map(Values::of::<E>);
                head::each(a, b, y, |a, b| a * b);
            }
            _ => unreachable!("a step without a kernel: {op:?}"),
        }
    }

    fn normalize<E: Element>(&mut self, op: &Op) {
        let Op::Normalize {
            norm,
            relu,
            x,
            coefficients,
            residual,
            y,
            ..
        } = op
        else {
            return;
        };
        let ids = [Some(*x), Some(*coefficients), *residual, Some(*y)];
        let [x, coefficients, r, y] = self.arena.get(ids);
        let forward = norm::Forward {
            norm,
            x: x.of::<E>(),
            coefficients: coefficients.float32(),
            residual: residual.map(|_| &*r.of()),
            relu: *relu,
        };
        forward.run(&self.program.batch, y.of());
    }

    fn conv<X: Element, Y: Element, P: Products<X, Y>>(&mut self, op: &Op) {
        let Op::Conv {
            conv,
            shift,
            relu,
            branches,
            x,
            w,
            b,
            residual,
            y,
        } = op
        else {
            return;
        };
        let batch = &self.program.batch;
        let ids = [Some(*x), Some(*w), *b, *residual, Some(*y)];
        let [x, w, bias, r, y] = self.arena.get(ids);
        let (x, w, bias) = (&*x.of::<X>(), &*w.of::<X>(), &*bias.float32());
        let (r, y) = (&*r.of::<Y>(), y.of::<Y>());
        let shifted = shift.map(|div| Shifted {
            fold: step::fold(conv.from.channels, Some(div)),
            neighbours: &batch.neighbours,
        });
        let channels = conv.to.channels;
        for (frames, matrix) in batch.runs(branches) {
            let product = conv::Forward {
                conv,
                x,
                w: &w[matrix * conv.packed_forward()..(matrix + 1) * conv.packed_forward()],
                shifted,
                finish: Finish {
                    bias: b.map(|_| &bias[matrix * channels..(matrix + 1) * channels]),
                    residual: residual.map(|_| r),
                    relu: *relu,
                },
            };
            product.run::<P>(frames, y, self.scratch);
        }
    }

    fn weight_gradient<X: Element, Y: Element, P: Products<X, Y>>(
        &mut self,
        op: &Op,
        grads: &mut [&mut [f32]],
    ) {
        let Op::ConvBackWeight {
            conv,
            frames,
            weight,
            x,
            dy,
            partials,
        } = op
        else {
            return;
        };
        let [x, dy, partials] = self.arena.all([*x, *dy, *partials]);
        let product = conv::WeightGradient {
            conv,
            frames: *frames,
            x: &*x.of::<X>(),
            dy: &*dy.of::<Y>(),
        };
        P::weight_gradient(&product, partials.float32(), grads[*weight], self.scratch);
    }

    fn bias_back<E: Element>(&mut self, dy: BufferId, gradient: &mut [f32]) {
        let [dy] = self.arena.all([dy]).map(Values::of::<E>);
        conv::back_bias(dy, gradient);
    }

    fn normalize_back<E: Element>(&mut self, op: &Op, grads: &mut [&mut [f32]]) {
        let Op::NormalizeBack {
            norm,
            pixels,
            mask,
            dy,
            x,
            coefficients,
            partials,
            masked,
            dx,
        } = op
        else {
            return;
        };
        let batch = &self.program.batch;
        let output = match mask {
            Mask::Output(y) => Some(*y),
            _ => None,
        };
        let [dy, x, coefficients, partials, dx] =
            [dy, x, coefficients, partials, dx].map(|id| Some(*id));
        let ids = [dy, x, coefficients, output, partials, *masked, dx];
        let [dy, x, coefficients, y, partials, behind, dx] = self.arena.get(ids);
        let (coefficients, partials) = (&*coefficients.float32(), partials.float32());
        let [dy, x, y, behind, dx] = [dy, x, y, behind, dx].map(Values::of::<E>);
        let back = norm::Backward {
            norm,
            dy,
            x,
            coefficients,
            mask: *mask,
            y,
        };
        norm::frame_gradients(batch, back, behind, partials, self.scratch);
        // What passed the ReLU is written by now, where there is a buffer for it.
        let back = match masked {
            Some(_) => norm::Backward {
                dy: behind,
                mask: Mask::All,
                ..back
            },
            None => back,
        };
        if norm.frozen {
            norm::back_frozen(batch, back, dx);
        } else {
            let pixels = *pixels;
            let site = norm::Site {
                norm,
                batch,
                pixels,
            };
            norm::group_gradients(site, partials, grads);
            norm::back_data(batch, back, partials, dx);
        }
    }

    fn shift_alter_back<E: Element>(&mut self, op: &Op, grads: &mut [&mut [f32]]) {
        let Op::ShiftAlterBack {
            shape,
            shift,
            alter,
            dy,
            x,
            add,
            partials,
            dx,
        } = op
        else {
            return;
        };
        let batch = &self.program.batch;
        let ids = [Some(*dy), *x, *add, *partials, Some(*dx)];
        let [dy, x, added, partials, dx] = self.arena.get(ids);
        let partials = partials.float32();
        let [dy, x, added, dx] = [dy, x, added, dx].map(Values::of::<E>);
        let plan = shift::Plan {
            batch,
            params: self.params,
            shape: *shape,
            shift: *shift,
            alter,
        };
        if !alter.is_empty() {
            shift::back_alteration(plan, (x, dy), partials, grads, self.scratch);
        }
        let added = add.map(|_| &*added);
        shift::back_data(plan, dy, added, dx);
    }
}

/// The buffer whose element the kernel of a step is compiled for; of what lies behind the pooled features the element is
/// float32, whichever buffer.
fn values_of(op: &Op) -> BufferId {
    match *op {
        Op::PackForward { w, .. } | Op::PackBackward { w, .. } => w,
        Op::AveragePool { x, .. } => x,
        Op::Border { y, .. }
        | Op::Normalize { y, .. }
        | Op::ShiftAlter { y, .. }
        | Op::MaxPool { y, .. }
        | Op::Relu { y, .. }
        | Op::Add { y, .. }
        | Op::Multiply { y, .. }
        | Op::FrameMean { y, .. } => y,
        Op::ConvBackData { dx, .. }
        | Op::MaxPoolBack { dx, .. }
        | Op::AveragePoolBack { dx, .. }
        | Op::ReluBack { dx, .. }
        | Op::FrameMeanBack { dx, .. } => dx,
        _ => unreachable!("a step whose kernel is chosen elsewhere: {op:?}"),
    }
}
