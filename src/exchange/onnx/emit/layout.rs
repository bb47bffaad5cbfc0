//! Images ↔ clips of images, and cuts of both.

use super::super::builder::{Attribute, Call};
use super::super::proto::Size;
use super::super::{Frames, INPUT};
use super::Emitter;
use crate::ops::{Extent, Rate, Shape};

/// The value that holds the number of frames where it is open.
const FRAME_COUNT: &str = "frame_count";

impl Emitter<'_> {
    /// Frames of all clips become images of one batch.
    pub fn input(&mut self) {
        if self.frames == Frames::Any {
            let attributes = [Attribute::Int("start", 1), Attribute::Int("end", 2)];
            self.out.node(&Call {
                op: "Shape",
                name: FRAME_COUNT,
                inputs: &[INPUT],
                attributes: &attributes,
            });
        }
        self.images("frames", INPUT, self.graph.nodes[0].extent());
        self.values[0] = Some("frames".to_owned());
    }

    /// Images → clips × rows × channels × height × width.
    pub fn clips(&mut self, name: &str, images: &str, of: Extent) {
        let Shape {
            channels,
            height,
            width,
        } = of.shape;
        self.clips_of(name, images, of.rate, &[channels, height, width]);
    }

    /// Images → clips × rows × `rest`.
    pub fn clips_of(&mut self, name: &str, images: &str, rate: Rate, rest: &[usize]) {
        let rest: Vec<i64> = rest.iter().map(|&size| size as i64).collect();
        let shape = match (self.frames, rate) {
            (Frames::Fixed(frames), _) => self.shape(rate.rows(frames), &rest),
            (Frames::Any, Rate::Clip | Rate::Group) => self.shape(1, &rest),
            (Frames::Any, Rate::Every(step)) => {
                let rows = self.row_count(step);
                let (open, rest) = (self.out.ints(&[-1]), self.out.ints(&rest));
                let shape = format!("{name}.shape");
                self.out.node(&Call {
                    op: "Concat",
                    name: &shape,
                    inputs: &[&open, &rows, &rest],
                    attributes: &[Attribute::Int("axis", 0)],
                });
                shape
            }
        };
        self.reshape(name, images, &shape);
    }

    fn shape(&mut self, rows: usize, rest: &[i64]) -> String {
        self.out.ints(&[&[-1, rows as i64], rest].concat())
    }

    /// The value that holds ⌈frames / step⌉, where the number of frames is open.
    fn row_count(&mut self, step: usize) -> String {
        let name = format!("{FRAME_COUNT}.every_{step}");
        if step <= 1 {
            return FRAME_COUNT.to_owned();
        }
        if self.out.graph.node.iter().any(|node| node.name == name) {
            return name;
        }
        let (more, divisor) = (
            self.out.ints(&[step as i64 - 1]),
            self.out.ints(&[step as i64]),
        );
        let sum = format!("{name}.sum");
        self.out.chain(&[
            ("Add", &sum, vec![FRAME_COUNT, &more]),
            ("Div", &name, vec![&sum, &divisor]),
        ]);
        name
    }

    /// The indices of [`crate::ops::TakeFrames::Spread`], of which every clip has as many.
    pub fn spread(&mut self, name: &str, every: usize) -> String {
        if let Frames::Fixed(frames) = self.frames {
            let (taken, last) = (frames / every, frames.saturating_sub(1));
            let divisor = taken.saturating_sub(1).max(1);
            let indices: Vec<i64> = (0..taken).map(|i| (i * last / divisor) as i64).collect();
            return self.out.ints(&indices);
        }
        let part = |part: &str| format!("{name}.{part}");
        let [every, zero, one] = [every as i64, 0, 1].map(|value| self.out.ints(&[value]));
        let first = self.out.int(0);
        let step = self.out.int(1);
        let [taken, count, range] = ["counts", "count", "range"].map(part);
        let [last, before, divisor] = ["last", "before", "divisor"].map(part);
        let [products, indices] = ["products", "indices"].map(part);
        let calls: [(&'static str, &str, Vec<&str>); 8] = [
            ("Div", &taken, vec![FRAME_COUNT, &every]),
            ("Squeeze", &count, vec![&taken, &zero]),
            ("Range", &range, vec![&first, &count, &step]),
            ("Sub", &last, vec![FRAME_COUNT, &one]),
            ("Sub", &before, vec![&taken, &one]),
            ("Max", &divisor, vec![&before, &one]),
            ("Mul", &products, vec![&range, &last]),
            ("Div", &indices, vec![&products, &divisor]),
        ];
        self.out.chain(&calls);
        indices
    }

    /// Clips, or images without pixels → images.
    pub fn images(&mut self, name: &str, from: &str, to: Extent) {
        let Shape {
            channels,
            height,
            width,
        } = to.shape;
        let shape = [channels, height, width].map(|size| size as i64);
        let shape = self.out.ints(&[&[-1], &shape[..]].concat());
        self.reshape(name, from, &shape);
        self.out.describe(name, sizes(to));
    }

    pub fn reshape(&mut self, name: &str, x: &str, shape: &str) {
        self.out.node(&Call {
            op: "Reshape",
            name,
            inputs: &[x, shape],
            attributes: &[],
        });
    }

    pub fn transpose(&mut self, name: &str, x: &str, axes: &[usize]) {
        self.out.node(&Call {
            op: "Transpose",
            name,
            inputs: &[x],
            attributes: &[Attribute::Ints("perm", axes)],
        });
    }

    /// (axis, start, end) of each axis that is cut.
    pub fn slice(&mut self, x: &str, name: &str, cuts: &[(i64, i64, i64)]) {
        let mut list = |of: fn(&(i64, i64, i64)) -> i64| {
            let values: Vec<i64> = cuts.iter().map(of).collect();
            self.out.ints(&values)
        };
        let (starts, ends, axes) = (list(|c| c.1), list(|c| c.2), list(|c| c.0));
        self.out.node(&Call {
            op: "Slice",
            name,
            inputs: &[x, &starts, &ends, &axes],
            attributes: &[],
        });
    }

    /// Zero frames before and behind each clip.
    pub fn pad_frames(&mut self, clips: &str, name: &str, [before, behind]: [i64; 2]) {
        let pads = self.out.ints(&[0, before, 0, 0, 0, 0, behind, 0, 0, 0]);
        self.out.node(&Call {
            op: "Pad",
            name,
            inputs: &[clips, &pads],
            attributes: &[],
        });
    }
}

/// Of images.
pub fn sizes(of: Extent) -> Vec<Size> {
    let Shape {
        channels,
        height,
        width,
    } = of.shape;
    let sizes = [channels, height, width].map(fixed);
    [vec![rows(of.rate)], sizes.to_vec()].concat()
}

/// How many images there are.
pub fn rows(rate: Rate) -> Size {
    Size::Named(match rate {
        Rate::Every(1) => "images".to_owned(),
        Rate::Every(step) => format!("images_every_{step}"),
        Rate::Clip | Rate::Group => "clips".to_owned(),
    })
}

pub fn fixed(size: usize) -> Size {
    Size::Fixed(size as i64)
}
