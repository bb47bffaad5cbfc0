//! The backward steps: every forward step's own rule, from the last to the first.

use super::Program;
use super::step::{BufferId, Mask, Op, Step};

/// Appends the backward steps. Gradients of a value that several steps read are added up.
pub fn differentiate(program: &mut Program) {
    let len = program.buffers[program.logits].len;
    let d_logits = program.buffer("logits.gradient", len);
    program.d_logits = Some(d_logits);
    let mut reverse = Reverse {
        gradients: vec![None; program.buffers.len()],
        program,
        steps: Vec::new(),
        name: String::new(),
    };
    reverse.gradients[reverse.program.logits] = Some(d_logits);
    for step in reverse.program.forward.clone().into_iter().rev() {
        reverse.name = step.name;
        reverse.step(&step.op);
    }
    let steps = reverse.steps;
    program.backward = steps;
}

struct Reverse<'a> {
    program: &'a mut Program,
    /// Forward buffer → the buffer of its gradient so far.
    gradients: Vec<Option<BufferId>>,
    steps: Vec<Step>,
    /// Of the step at hand.
    name: String,
}

impl Reverse<'_> {
    fn step(&mut self, op: &Op) {
        match op {
            Op::Conv { y, .. } => {
                if let Some(dy) = self.gradients[*y] {
                    self.conv(op, dy);
                }
            }
            Op::Normalize { y, .. } => {
                if let Some(dy) = self.gradients[*y] {
                    self.normalize(op, dy);
                }
            }
            Op::ShiftAlter { y, .. } => {
                if let Some(dy) = self.gradients[*y] {
                    self.shift_alter(op, dy);
                }
            }
            Op::Add { a, b, y } => {
                if let Some(dy) = self.gradients[*y] {
                    self.contribute(*a, dy);
                    self.contribute(*b, dy);
                }
            }
            _ => self.simple(op),
        }
    }

    /// Steps with one input and one output.
    fn simple(&mut self, op: &Op) {
        let (x, y) = match *op {
            Op::Relu { x, y } => (x, y),
            Op::MaxPool { x, y, .. } | Op::AveragePool { x, y, .. } => (x, y),
            Op::Dropout { x, y, .. } | Op::FrameMean { x, y, .. } => (x, y),
            _ => return,
        };
        let Some(dy) = self.gradients[y] else { return };
        let dx = self.gradient_buffer(x);
        let back = match *op {
            Op::Relu { .. } => Op::ReluBack { dy, y, dx },
            Op::MaxPool { from, to, x, .. } => Op::MaxPoolBack {
                from,
                to,
                x,
                dy,
                dx,
            },
            Op::AveragePool { from, .. } => Op::AveragePoolBack { from, dy, dx },
            Op::Dropout { mask, .. } => Op::Multiply {
                a: dy,
                b: mask,
                y: dx,
            },
            Op::FrameMean { channels, .. } => Op::FrameMeanBack { channels, dy, dx },
            _ => return,
        };
        self.emit(back);
        self.contribute(x, dx);
    }

    fn conv(&mut self, op: &Op, dy: BufferId) {
        let &Op::Conv { conv, x, w, b, .. } = op else {
            return;
        };
        let frames = self.program.batch.frames;
        let (weight, bias) = self.packed_from(w);
        if let (Some(_), Some(bias)) = (b, bias) {
            let channels = conv.to.channels;
            self.emit(Op::BiasBack { bias, channels, dy });
        }
        let partials = self.named("weight.partials", conv.weight_partials(frames));
        self.emit(Op::ConvBackWeight {
            conv,
            frames,
            weight,
            x,
            dy,
            partials,
        });
        if self.is_picture(x) {
            return;
        }
        let w = self.named("weight.backward", conv.packed_backward());
        self.program.buffers[w].element = self.program.buffers[dy].element;
        self.emit(Op::PackBackward { conv, weight, w });
        let dx = self.gradient_buffer(x);
        self.emit(Op::ConvBackData { conv, dy, w, dx });
        self.contribute(x, dx);
    }

    /// Whether a buffer is the input, with a border or without: nobody wants its gradient.
    fn is_picture(&self, x: BufferId) -> bool {
        let mut borders = self.program.forward.iter();
        x == self.program.input
            || borders.any(|step| matches!(step.op, Op::Border { y, .. } if y == x))
    }

    /// The parameters behind a packed weight.
    fn packed_from(&self, w: BufferId) -> (usize, Option<usize>) {
        let packs = self.program.forward.iter();
        let mut found = packs.filter_map(|step| match step.op {
            Op::PackForward {
                weight,
                bias,
                w: packed,
                ..
            } if packed == w => Some((weight, bias)),
            _ => None,
        });
        found.next().unwrap_or_default()
    }

    fn normalize(&mut self, op: &Op, dy: BufferId) {
        let Op::Normalize {
            norm,
            pixels,
            relu,
            x,
            coefficients,
            residual,
            y,
        } = op
        else {
            return;
        };
        let mask = match (relu, residual) {
            (false, _) => Mask::All,
            (true, None) => Mask::Recomputed,
            (true, Some(_)) => Mask::Output(*y),
        };
        let masked = match (relu, residual) {
            (true, Some(residual)) => Some(self.gradient_buffer(*residual)),
            _ => None,
        };
        let batch = &self.program.batch;
        let len = 2 * (batch.frames * norm.channels + batch.norm_groups.len() * norm.row());
        let partials = self.named("gradient.partials", len);
        let dx = self.gradient_buffer(*x);
        self.emit(Op::NormalizeBack {
            norm: norm.clone(),
            pixels: *pixels,
            mask,
            dy,
            x: *x,
            coefficients: *coefficients,
            partials,
            masked,
            dx,
        });
        self.contribute(*x, dx);
        if let Some(residual) = residual {
            self.contribute(*residual, masked.unwrap_or(dy));
        }
    }

    fn shift_alter(&mut self, op: &Op, dy: BufferId) {
        let Op::ShiftAlter {
            shape,
            shift,
            alter,
            x,
            ..
        } = op
        else {
            return;
        };
        let alters = !alter.is_empty();
        let len = self.program.batch.frames * shape.channels;
        let partials = alters.then(|| self.named("gradient.partials", len));
        let dx = self.gradient_buffer(*x);
        self.emit(Op::ShiftAlterBack {
            shape: *shape,
            shift: *shift,
            alter: alter.clone(),
            dy,
            x: alters.then_some(*x),
            add: self.gradients[*x],
            partials,
            dx,
        });
        self.gradients[*x] = Some(dx);
    }

    /// Adds `gradient` to what `buffer` has so far.
    fn contribute(&mut self, buffer: BufferId, gradient: BufferId) {
        self.gradients[buffer] = Some(match self.gradients[buffer] {
            None => gradient,
            Some(so_far) => {
                let sum = self.gradient_buffer(buffer);
                self.emit(Op::Add {
                    a: so_far,
                    b: gradient,
                    y: sum,
                });
                sum
            }
        });
    }

    fn gradient_buffer(&mut self, of: BufferId) -> BufferId {
        let name = format!("{}.gradient", self.program.buffers[of].name);
        self.program.buffer_like(name, of)
    }

    fn named(&mut self, suffix: &str, len: usize) -> BufferId {
        let name = format!("{}.{suffix}", self.name);
        self.program.buffer(name, len)
    }

    fn emit(&mut self, op: Op) {
        self.steps.push(Step {
            name: self.name.clone(),
            op,
        });
    }
}
