//! Step → kernel: takes a step's buffers from the arena and calls the file that computes it.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::border;
use super::conv;
use super::gather::Shifted;
use super::memory::{Arena, Scratch};
use super::product::Finish;
use super::{head, norm, pack, pool, shift};
use crate::exec::{DropoutKey, Statistics};
use crate::program::{Mask, Op, Program};

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

impl Context<'_> {
    /// The steps that come before all passes.
    pub fn prepare(&mut self, stats: &Statistics) {
        for step in &self.program.prepare {
            self.pack_forward(&step.op, stats);
        }
    }

    /// The forward steps.
    pub fn forward(&mut self, stats: &mut Statistics, dropout: DropoutKey) {
        let program = self.program;
        for (index, step) in program.forward.iter().enumerate() {
            let start = Instant::now();
            match &step.op {
                Op::PackForward { .. } => self.pack_forward(&step.op, stats),
                Op::BatchStatistics { .. } | Op::RunningStatistics { .. } => {
                    self.statistics(&step.op, stats);
                }
                Op::Dropout {
                    channels,
                    probability,
                    x,
                    mask,
                    y,
                } => {
                    let [x, mask, y] = self.arena.all([*x, *mask, *y]);
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
                Op::ConvBackWeight {
                    conv,
                    frames,
                    weight,
                    x,
                    dy,
                    partials,
                } => {
                    let [x, dy, partials] = self.arena.all([*x, *dy, *partials]);
                    let product = conv::WeightGradient {
                        conv,
                        frames: *frames,
                        x,
                        dy,
                    };
                    product.run(partials, grads[*weight], self.scratch);
                }
                Op::BiasBack { bias, dy, .. } => {
                    conv::back_bias(self.arena.read(*dy), grads[*bias]);
                }
                Op::NormalizeBack { .. } => self.normalize_back(&step.op, grads),
                Op::ShiftAlterBack { .. } => self.shift_alter_back(&step.op, grads),
                op => self.activation(op),
            }
            self.times[program.forward.len() + index] += start.elapsed();
        }
    }

    fn pack_forward(&mut self, op: &Op, stats: &Statistics) {
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
        pack::all_branches(&packing, self.params, stats, w, b);
    }

    fn statistics(&mut self, op: &Op, stats: &mut Statistics) {
        let (batch, params) = (&self.program.batch, self.params);
        match op {
            Op::BatchStatistics {
                norm,
                pixels,
                x,
                partials,
                coefficients,
            } => {
                let [x, partials, coefficients] = self.arena.all([*x, *partials, *coefficients]);
                norm::frame_statistics(norm, x, partials, self.scratch);
                let pixels = *pixels;
                let site = norm::Site {
                    norm,
                    batch,
                    pixels,
                };
                norm::group_statistics(site, partials, params, stats, coefficients);
            }
            Op::RunningStatistics { norm, coefficients } => {
                let [coefficients] = self.arena.all([*coefficients]);
                norm::running(norm, batch, params, stats, coefficients);
            }
            _ => {}
        }
    }

    /// Steps that read and write activations alone, forward or backward.
    fn activation(&mut self, op: &Op) {
        let batch = &self.program.batch;
        match op {
            Op::Border { from, border, x, y } => {
                let [x, y] = self.arena.all([*x, *y]);
                border::surround(*from, *border, x, y);
            }
            Op::Conv { .. } => self.conv(op),
            Op::PackBackward { conv, weight, w } => {
                let [w] = self.arena.all([*w]);
                pack::backward(conv, self.params[*weight], w);
            }
            Op::ConvBackData { conv, dy, w, dx } => {
                let [dy, w, dx] = self.arena.all([*dy, *w, *dx]);
                conv::DataGradient { conv, dy, w }.run(dx, self.scratch);
            }
            Op::Normalize {
                norm,
                relu,
                x,
                coefficients,
                residual,
                y,
                ..
            } => {
                let ids = [Some(*x), Some(*coefficients), *residual, Some(*y)];
                let [x, coefficients, r, y] = self.arena.get(ids);
                let forward = norm::Forward {
                    norm,
                    x,
                    coefficients,
                    residual: residual.is_some().then_some(r),
                    relu: *relu,
                };
                forward.run(batch, y);
            }
            Op::ShiftAlter {
                shape,
                shift,
                alter,
                x,
                y,
            } => {
                let [x, y] = self.arena.all([*x, *y]);
                let plan = shift::Plan {
                    batch,
                    params: self.params,
                    shape: *shape,
                    shift: *shift,
                    alter,
                };
                shift::forward(plan, x, y);
            }
            Op::MaxPool { from, to, x, y } => {
                let [x, y] = self.arena.all([*x, *y]);
                let shapes = pool::Shapes {
                    from: *from,
                    to: *to,
                };
                pool::max(shapes, x, y);
            }
            Op::MaxPoolBack {
                from,
                to,
                x,
                dy,
                dx,
            } => {
                let [x, dy, dx] = self.arena.all([*x, *dy, *dx]);
                let shapes = pool::Shapes {
                    from: *from,
                    to: *to,
                };
                pool::max_back(shapes, x, dy, dx);
            }
            Op::AveragePool { from, x, y } => {
                let [x, y] = self.arena.all([*x, *y]);
                pool::average(*from, x, y);
            }
            Op::AveragePoolBack { from, dy, dx } => {
                let [dy, dx] = self.arena.all([*dy, *dx]);
                pool::average_back(*from, dy, dx);
            }
            Op::FrameMean { channels, x, y } => {
                let [x, y] = self.arena.all([*x, *y]);
                head::frame_mean(batch, *channels, x, y);
            }
            Op::FrameMeanBack { channels, dy, dx } => {
                let [dy, dx] = self.arena.all([*dy, *dx]);
                head::frame_mean_back(batch, *channels, dy, dx);
            }
            op => self.each(op),
        }
    }

    /// Steps over single values.
    fn each(&mut self, op: &Op) {
        match *op {
            Op::Relu { x, y } => {
                let [x, y] = self.arena.all([x, y]);
                y.copy_from_slice(x);
                super::simd::finish(y, None, None, true);
            }
            Op::ReluBack { dy, y, dx } => {
                let [dy, y, dx] = self.arena.all([dy, y, dx]);
                head::each(dy, y, dx, |dy, y| if y > 0.0 { dy } else { 0.0 });
            }
            Op::Add { a, b, y } => {
                let [a, b, y] = self.arena.all([a, b, y]);
                head::each(a, b, y, |a, b| a + b);
            }
            Op::Multiply { a, b, y } => {
                let [a, b, y] = self.arena.all([a, b, y]);
                head::each(a, b, y, |a, b| a * b);
            }
            _ => unreachable!("a step without a kernel: {op:?}"),
        }
    }

    fn conv(&mut self, op: &Op) {
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
        let [x, w, bias, r, y] = self
            .arena
            .get([Some(*x), Some(*w), *b, *residual, Some(*y)]);
        let shifted = shift.map(|div| Shifted {
            fold: conv.from.channels / div.max(1),
            neighbours: &batch.neighbours,
        });
        let channels = conv.to.channels;
        let mut run = |frames: Range<usize>, matrix: usize| {
            let product = conv::Forward {
                conv,
                x,
                w: &w[matrix * conv.packed_forward()..(matrix + 1) * conv.packed_forward()],
                shifted,
                finish: Finish {
                    bias: b.map(|_| &bias[matrix * channels..(matrix + 1) * channels]),
                    residual: residual.map(|_| &*r),
                    relu: *relu,
                },
            };
            product.run(frames, y, self.scratch);
        };
        if branches.is_empty() {
            run(0..batch.frames, 0);
            return;
        }
        for (frames, segment) in batch.segment_frames() {
            let matrix = branches.iter().position(|&branch| branch == segment.branch);
            run(frames, matrix.unwrap_or(0));
        }
    }

    fn normalize_back(&mut self, op: &Op, grads: &mut [&mut [f32]]) {
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

    fn shift_alter_back(&mut self, op: &Op, grads: &mut [&mut [f32]]) {
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
        let [dy, x, added, partials, dx] =
            self.arena.get([Some(*dy), *x, *add, *partials, Some(*dx)]);
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
