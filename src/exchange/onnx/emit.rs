//! Each node of a graph as operators of ONNX.
//!
//! A value is `images × channels × height × width`, where the images are the rows of all clips; `layout` makes clips of them
//! where an operator works along time. Behind a linear layer it is `images × channels` until somebody wants pixels.

mod attention;
mod layout;
mod product;

use super::builder::{Attribute, Builder, Call, value};
use super::proto::{GraphProto, Size};
use super::weights::Weights;
use super::{Export, Frames, INPUT, OUTPUT};
use crate::base::{Error, Kind, Result};
use crate::graph::{Graph, Node, NodeId, Op};
use crate::ops::{Binary, Each, Mean, Pool, Pooled, Rate, SliceChannels, TakeFrames, shift_fold};

/// To the end of an axis, in a slice.
const END: i64 = i64::MAX;

pub fn graph(export: &Export<'_>) -> Result<GraphProto> {
    let mut emitter = Emitter::new(export);
    emitter.input();
    for id in 1..export.graph.nodes.len() {
        emitter.node(id)?;
    }
    emitter.finish(export)
}

struct Emitter<'a> {
    graph: &'a Graph,
    weights: Weights<'a>,
    branch: usize,
    frames: Frames,
    out: Builder,
    /// For each node the name of the value that it gives; none for what is folded into a reader.
    values: Vec<Option<String>>,
    /// For each node whether its value has no pixels.
    flat: Vec<bool>,
}

impl<'a> Emitter<'a> {
    fn new(export: &Export<'a>) -> Self {
        Self {
            graph: export.graph,
            weights: Weights::new(export.graph, export.entries),
            branch: export.branch,
            frames: export.frames,
            out: Builder::default(),
            values: vec![None; export.graph.nodes.len()],
            flat: vec![false; export.graph.nodes.len()],
        }
    }

    fn node(&mut self, id: NodeId) -> Result<()> {
        let node = &self.graph.nodes[id];
        match &node.op {
            Op::Input(_) => Ok(()),
            Op::Conv(conv) => self.conv(id, node, conv),
            Op::BatchNorm(norm) => match self.values[id] {
                // A convolution took it in.
                Some(_) => Ok(()),
                None => self.norm(id, node, norm),
            },
            Op::LayerNorm(norm) => self.layer_norm(id, node, norm),
            Op::Attention(attention) => self.attention(id, node, attention),
            Op::Each(each) => self.each(id, node, *each),
            Op::Binary(Binary::Add) => self.simple(id, "Add", &[]),
            Op::Binary(Binary::Subtract) => self.simple(id, "Sub", &[]),
            Op::Binary(Binary::Multiply) => self.simple(id, "Mul", &[]),
            Op::Pool(pool) => self.pool(id, pool),
            Op::Mean(Mean::Pixels) => self.simple(id, "GlobalAveragePool", &[]),
            Op::Mean(Mean::Rows) => self.frame_mean(id, node),
            Op::MeanProbabilities(_) => self.mean_probabilities(id, node),
            Op::Shift(shift) => self.shift(id, node, shift_fold(node.shape.channels, shift.div)),
            Op::TakeFrames(TakeFrames::Moved { offset }) => {
                self.take_frames(id, node, *offset as i64)
            }
            Op::TakeFrames(TakeFrames::Spread { every, .. }) => {
                self.spread_frames(id, node, *every)
            }
            Op::Alter(alter) => match self.is_folded(id) {
                true => Ok(()),
                false => self.alter(id, node, alter),
            },
            Op::SliceChannels(slice) => self.slice_channels(id, node, slice),
            Op::ConcatChannels(_) => self.simple(id, "Concat", &[Attribute::Int("axis", 1)]),
            Op::Dropout(_) => {
                self.values[id] = Some(self.value(node.inputs[0])?);
                self.flat[id] = self.flat[node.inputs[0]];
                Ok(())
            }
            Op::Linear(linear) => self.linear(id, node, linear),
        }
    }

    fn each(&mut self, id: NodeId, node: &Node, each: Each) -> Result<()> {
        match each {
            Each::Relu => self.simple(id, "Relu", &[]),
            Each::Sigmoid => self.simple(id, "Sigmoid", &[]),
            Each::Gelu => self.gelu(id, node),
            Each::Add(constant) => {
                let name = format!("{}.constant", node.name);
                self.out.floats(&name, &[1], &[constant as f32]);
                self.with_constants(id, "Add", &[&name], &[])
            }
        }
    }

    /// x·(1 + erf(x/√2))/2: GELU itself is younger than the models' operator set.
    fn gelu(&mut self, id: NodeId, node: &Node) -> Result<()> {
        let x = self.image(node.inputs[0])?;
        let part = |part: &str| format!("{}.{part}", node.name);
        let constants = [
            ("root", std::f32::consts::FRAC_1_SQRT_2),
            ("one", 1.0),
            ("half", 0.5),
        ];
        for (name, value) in constants {
            self.out.floats(&part(name), &[1], &[value]);
        }
        let [root, one, half] = ["root", "one", "half"].map(part);
        let [scaled, erf, sum, weighted] = ["scaled", "erf", "sum", "weighted"].map(part);
        let calls: [(&'static str, &str, Vec<&str>); 5] = [
            ("Mul", &scaled, vec![&x, &root]),
            ("Erf", &erf, vec![&scaled]),
            ("Add", &sum, vec![&erf, &one]),
            ("Mul", &weighted, vec![&x, &sum]),
            ("Mul", &node.name, vec![&weighted, &half]),
        ];
        self.out.chain(&calls);
        self.gives(id);
        Ok(())
    }

    fn pool(&mut self, id: NodeId, pool: &Pool) -> Result<()> {
        let Pool {
            pooled,
            window,
            stride,
            padding,
        } = *pool;
        let (window, pads, strides) = ([window; 2], [padding; 4], [stride; 2]);
        let mut attributes = vec![
            Attribute::Ints("kernel_shape", &window),
            Attribute::Ints("pads", &pads),
            Attribute::Ints("strides", &strides),
        ];
        match pooled {
            Pooled::Max => self.simple(id, "MaxPool", &attributes),
            Pooled::Mean => {
                attributes.push(Attribute::Int("count_include_pad", 1));
                self.simple(id, "AveragePool", &attributes)
            }
        }
    }

    fn mean_probabilities(&mut self, id: NodeId, node: &Node) -> Result<()> {
        let x = self.image(node.inputs[0])?;
        let part = |part: &str| format!("{}.{part}", node.name);
        let [probabilities, mean] = ["probabilities", "mean"].map(part);
        let calls: [(&'static str, &str, &str, &[Attribute<'_>]); 3] = [
            ("Softmax", &probabilities, &x, &[Attribute::Int("axis", 1)]),
            ("GlobalAveragePool", &mean, &probabilities, &[]),
            ("Log", &node.name, &mean, &[]),
        ];
        for (op, name, input, attributes) in calls {
            self.out.node(&Call {
                op,
                name,
                inputs: &[input],
                attributes,
            });
        }
        self.gives(id);
        Ok(())
    }

    /// Channels `[0, fold)` from the next frame, `[fold, 2·fold)` from the previous one, zero at the clip's ends.
    fn shift(&mut self, id: NodeId, node: &Node, fold: usize) -> Result<()> {
        let x = self.image(node.inputs[0])?;
        if fold == 0 {
            self.values[id] = Some(x);
            return Ok(());
        }
        let part = |part: &str| format!("{}.{part}", node.name);
        let (clips, shifted) = (part("clips"), part("shifted"));
        let (next, previous, rest) = (part("next"), part("previous"), part("rest"));
        self.clips(&clips, &x, node.extent());

        let (fold, channels) = (fold as i64, node.shape.channels as i64);
        self.frames_of(&clips, &next, [(1, END), (0, fold)], [0, 1]);
        self.frames_of(&clips, &previous, [(0, -1), (fold, 2 * fold)], [1, 0]);
        let mut parts = vec![next.as_str(), &previous];
        if 2 * fold < channels {
            self.slice(&clips, &rest, &[(2, 2 * fold, channels)]);
            parts.push(&rest);
        }
        self.out.node(&Call {
            op: "Concat",
            name: &shifted,
            inputs: &parts,
            attributes: &[Attribute::Int("axis", 2)],
        });
        self.images(&node.name, &shifted, node.extent());
        self.values[id] = Some(node.name.clone());
        Ok(())
    }

    /// A slice of frames and channels, then zero frames before and behind it.
    fn frames_of(
        &mut self,
        clips: &str,
        name: &str,
        [frames, channels]: [(i64, i64); 2],
        around: [i64; 2],
    ) {
        let cut = format!("{name}.cut");
        self.slice(
            clips,
            &cut,
            &[(1, frames.0, frames.1), (2, channels.0, channels.1)],
        );
        self.pad_frames(&cut, name, around);
    }

    /// Zero frames behind or before each clip, then as many off its other end.
    fn take_frames(&mut self, id: NodeId, node: &Node, offset: i64) -> Result<()> {
        let x = self.image(node.inputs[0])?;
        let part = |part: &str| format!("{}.{part}", node.name);
        let (clips, padded, taken) = (part("clips"), part("padded"), part("taken"));
        self.clips(&clips, &x, node.extent());
        let (around, range) = match offset {
            0.. => ([0, offset], (offset, END)),
            ..0 => ([-offset, 0], (0, offset)),
        };
        self.pad_frames(&clips, &padded, around);
        self.slice(&padded, &taken, &[(1, range.0, range.1)]);
        self.images(&node.name, &taken, node.extent());
        self.values[id] = Some(node.name.clone());
        Ok(())
    }

    /// The frames at ⌊i·(n − 1)/(m − 1)⌋ of each clip of n, m = n / every.
    fn spread_frames(&mut self, id: NodeId, node: &Node, every: usize) -> Result<()> {
        let x = self.image(node.inputs[0])?;
        let part = |part: &str| format!("{}.{part}", node.name);
        let (clips, taken) = (part("clips"), part("taken"));
        self.clips(&clips, &x, self.graph.nodes[node.inputs[0]].extent());
        let indices = self.spread(&node.name, every);
        self.out.node(&Call {
            op: "Gather",
            name: &taken,
            inputs: &[&clips, &indices],
            attributes: &[Attribute::Int("axis", 1)],
        });
        self.images(&node.name, &taken, node.extent());
        self.values[id] = Some(node.name.clone());
        Ok(())
    }

    fn slice_channels(&mut self, id: NodeId, node: &Node, slice: &SliceChannels) -> Result<()> {
        let x = self.image(node.inputs[0])?;
        let (first, end) = (slice.first as i64, (slice.first + slice.count) as i64);
        self.slice(&x, &node.name, &[(1, first, end)]);
        self.gives(id);
        Ok(())
    }

    /// The last node's is the output of the model.
    fn frame_mean(&mut self, id: NodeId, node: &Node) -> Result<()> {
        let from = &self.graph.nodes[node.inputs[0]];
        let x = self.value(node.inputs[0])?;
        let clips = format!("{}.clips", node.name);
        let is_last = id + 1 == self.graph.nodes.len();
        match is_last {
            true => self.clips_of(&clips, &x, from.rate, &[self.graph.classes]),
            false => self.clips(&clips, &x, from.extent()),
        }
        self.out.node(&Call {
            op: "ReduceMean",
            name: if is_last { OUTPUT } else { &node.name },
            inputs: &[&clips],
            attributes: &[Attribute::Ints("axes", &[1]), Attribute::Int("keepdims", 0)],
        });
        match is_last {
            true => self.values[id] = Some(OUTPUT.to_owned()),
            false => self.gives(id),
        }
        Ok(())
    }

    /// An operator of one output and of the inputs of its node.
    fn simple(&mut self, id: NodeId, op: &'static str, attributes: &[Attribute<'_>]) -> Result<()> {
        self.with_constants(id, op, &[], attributes)
    }

    /// As [`Emitter::simple`], with constants behind the node's inputs.
    fn with_constants(
        &mut self,
        id: NodeId,
        op: &'static str,
        constants: &[&str],
        attributes: &[Attribute<'_>],
    ) -> Result<()> {
        let node = &self.graph.nodes[id];
        let inputs = node.inputs.iter().map(|&id| self.image(id));
        let inputs = inputs.collect::<Result<Vec<String>>>()?;
        let inputs: Vec<&str> = inputs
            .iter()
            .map(String::as_str)
            .chain(constants.iter().copied())
            .collect();
        self.out.node(&Call {
            op,
            name: &node.name,
            inputs: &inputs,
            attributes,
        });
        self.gives(id);
        Ok(())
    }

    /// The value of node `id` has been emitted under its name.
    fn gives(&mut self, id: NodeId) {
        let node = &self.graph.nodes[id];
        self.out.describe(&node.name, layout::sizes(node.extent()));
        self.values[id] = Some(node.name.clone());
    }

    /// The value of a node in whatever form it is.
    fn value(&self, id: NodeId) -> Result<String> {
        self.values[id].clone().ok_or_else(|| {
            let name = &self.graph.nodes[id].name;
            Error::new(
                Kind::Run,
                format!("`{name}` was folded, but something else reads it too"),
            )
        })
    }

    /// The value of a node with pixels.
    fn image(&mut self, id: NodeId) -> Result<String> {
        let value = self.value(id)?;
        if !std::mem::replace(&mut self.flat[id], false) {
            return Ok(value);
        }
        let node = &self.graph.nodes[id];
        let name = format!("{}.image", node.name);
        self.images(&name, &value, node.extent());
        self.values[id] = Some(name.clone());
        Ok(name)
    }

    /// The entry of the branch, or the one that all share.
    fn of_branch<T: Copy>(&self, parts: &[T]) -> T {
        parts[self.branch.min(parts.len() - 1)]
    }

    fn readers(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let nodes = self.graph.nodes.iter().enumerate();
        nodes.filter_map(move |(reader, node)| node.inputs.contains(&id).then_some(reader))
    }

    /// The node that reads `id`, if it is the only one.
    fn only_reader(&self, id: NodeId) -> Option<NodeId> {
        let mut readers = self.readers(id);
        let first = readers.next();
        first.filter(|_| readers.next().is_none())
    }

    fn finish(mut self, export: &Export<'_>) -> Result<GraphProto> {
        let last = export.graph.nodes.len() - 1;
        let logits = self.value(last)?;
        if logits != OUTPUT {
            let shape = self.out.ints(&[-1, export.graph.classes as i64]);
            self.reshape(OUTPUT, &logits, &shape);
        }
        let shape = export.graph.nodes[0].shape;
        let frames = match export.frames {
            Frames::Fixed(frames) => layout::fixed(frames),
            Frames::Any => Size::Named("frames".to_owned()),
        };
        let sizes = [shape.channels, shape.height, shape.width].map(layout::fixed);
        let clips = || layout::rows(Rate::Clip);
        let input = [vec![clips(), frames], sizes.to_vec()].concat();
        let graph = &mut self.out.graph;
        graph.name = export.name.to_owned();
        graph.input = vec![value(
            INPUT,
            input,
            "clips × frames × RGB × height × width, normalised",
        )];
        let output = vec![clips(), layout::fixed(export.graph.classes)];
        graph.output = vec![value(OUTPUT, output, "averaged over the frames")];
        Ok(self.out.graph)
    }
}
