//! Convolutions with what is folded into them, and norms, alterations and linear layers.
//!
//! A kernel along time is a convolution of clips: images are laid out as clips × channels × rows × height × width and back.

use super::super::builder::{Attribute, Call};
use super::super::weights::Convolution;
use super::Emitter;
use crate::base::Result;
use crate::graph::{Node, NodeId, Op};
use crate::ops::{Alter, BatchNorm, Conv, LayerNorm, Linear, ParamId};

/// A convolution and what is folded into it.
struct Around<'a> {
    /// The node that it reads in the end.
    input: NodeId,
    alteration: Option<ParamId>,
    norm: Option<&'a BatchNorm>,
    /// The node whose value it gives.
    output: NodeId,
}

impl<'a> Emitter<'a> {
    /// A convolution with everything folded that stands around it.
    pub fn conv(&mut self, id: NodeId, node: &'a Node, conv: &Conv) -> Result<()> {
        let around = self.around(id, node);
        let (weight, bias) = self.folded(node, conv, &around)?;
        let [w, b] = ["weight", "bias"].map(|part| format!("{}.{part}", node.name));
        let along_time = !is_of_images(conv);
        let kernel = if along_time {
            &conv.kernel[..]
        } else {
            &conv.kernel[1..]
        };
        let of_group = self.graph.nodes[around.input].shape.channels / conv.groups;
        let shape = [&[node.shape.channels, of_group], kernel].concat();
        self.out.floats(&w, &shape, &weight);
        let mut constants = vec![w.as_str()];
        if let Some(bias) = &bias {
            self.out.floats(&b, &[node.shape.channels], bias);
            constants.push(&b);
        }
        let x = self.image(around.input)?;
        match along_time {
            false => self.call_conv(&self.graph.nodes[around.output].name, &x, &constants, conv),
            true => self.conv_of_clips(&around, &x, &constants, conv),
        }
        self.gives(around.output);
        Ok(())
    }

    fn folded(
        &self,
        node: &Node,
        conv: &Conv,
        around: &Around<'_>,
    ) -> Result<(Vec<f32>, Option<Vec<f32>>)> {
        let alteration = around.alteration.map(|id| self.weights.param(id));
        let bias = conv.bias.map(|id| self.weights.param(id));
        let norm = around.norm.map(|norm| {
            let params = self.of_branch(&norm.branches);
            self.weights.norm(params, norm.eps)
        });
        let inputs = self.graph.nodes[around.input].shape.channels;
        let convolution = Convolution {
            weight: self.weights.param(conv.weight)?,
            bias: bias.transpose()?,
            inputs,
            outputs: node.shape.channels,
            groups: conv.groups,
            taps: conv.taps(),
            alteration: alteration.transpose()?,
            norm: norm.transpose()?,
        };
        Ok(convolution.fold())
    }

    fn conv_of_clips(&mut self, around: &Around<'_>, x: &str, constants: &[&str], conv: &Conv) {
        let graph = self.graph;
        let (input, output) = (&graph.nodes[around.input], &graph.nodes[around.output]);
        let part = |part: &str| format!("{}.{part}", output.name);
        let (clips, before, after) = (part("clips"), part("channels_first"), part("convolved"));
        let back = part("rows_first");
        self.clips(&clips, x, input.extent());
        self.transpose(&before, &clips, &[0, 2, 1, 3, 4]);
        self.call_conv(&after, &before, constants, conv);
        self.transpose(&back, &after, &[0, 2, 1, 3, 4]);
        self.images(&output.name, &back, output.extent());
    }

    fn call_conv(&mut self, name: &str, x: &str, constants: &[&str], conv: &Conv) {
        let skipped = usize::from(is_of_images(conv));
        let of_axes = |all: &[usize; 3]| all[skipped..].to_vec();
        let padding = of_axes(&conv.padding);
        let (kernel, strides) = (of_axes(&conv.kernel), of_axes(&conv.stride));
        let pads = [padding.clone(), padding].concat();
        let mut attributes = vec![
            Attribute::Ints("kernel_shape", &kernel),
            Attribute::Ints("pads", &pads),
            Attribute::Ints("strides", &strides),
        ];
        if conv.groups > 1 {
            attributes.push(Attribute::Int("group", conv.groups as i64));
        }
        self.out.node(&Call {
            op: "Conv",
            name,
            inputs: &[&[x], constants].concat(),
            attributes: &attributes,
        });
    }

    /// What is folded into convolution `id`: the alteration that it reads, the norm that alone reads it.
    fn around(&self, id: NodeId, node: &Node) -> Around<'a> {
        let graph = self.graph;
        let from = node.inputs[0];
        let (input, alteration) = match altered(&graph.nodes[from].op) {
            Some(alter) if self.is_folded(from) => (
                graph.nodes[from].inputs[0],
                Some(self.of_branch(&alter.weights)),
            ),
            Some(_) | None => (from, None),
        };
        let reader = self.only_reader(id).unwrap_or(id);
        let (output, norm) = match normed(&graph.nodes[reader].op) {
            Some(norm) => (reader, Some(norm)),
            None => (id, None),
        };
        Around {
            input,
            alteration,
            norm,
            output,
        }
    }

    /// Whether alteration `id` is read by convolutions alone, which take it in.
    pub fn is_folded(&self, id: NodeId) -> bool {
        let is_conv = |reader: NodeId| matches!(self.graph.nodes[reader].op, Op::Conv(_));
        self.readers(id).all(is_conv)
    }

    /// An alteration that other nodes than convolutions read.
    pub fn alter(&mut self, id: NodeId, node: &Node, alter: &Alter) -> Result<()> {
        let weight = self.weights.param(self.of_branch(&alter.weights))?;
        let factor = |&weight: &f32| (1.0 + f64::from(weight)) as f32;
        let factors: Vec<f32> = weight.iter().map(factor).collect();
        let name = format!("{}.factor", node.name);
        self.out.floats(&name, &[1, factors.len(), 1, 1], &factors);
        self.with_constants(id, "Mul", &[&name], &[])
    }

    /// A norm that does not follow a convolution.
    pub fn norm(&mut self, id: NodeId, node: &Node, of: &BatchNorm) -> Result<()> {
        let norm = self.weights.norm(self.of_branch(&of.branches), of.eps)?;
        let parts = [
            ("weight", norm.weight),
            ("bias", norm.bias),
            ("running_mean", norm.mean),
            ("running_var", norm.var),
        ];
        let mut names = Vec::new();
        for (part, values) in parts {
            let name = format!("{}.{part}", node.name);
            self.out.floats(&name, &[values.len()], values);
            names.push(name);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let attributes = [Attribute::Float("epsilon", of.eps)];
        self.with_constants(id, "BatchNormalization", &names, &attributes)
    }

    /// Over the channels of each pixel, which have to stand last for it.
    pub fn layer_norm(&mut self, id: NodeId, node: &Node, norm: &LayerNorm) -> Result<()> {
        let of = self.of_branch(&norm.branches);
        let part = |part: &str| format!("{}.{part}", node.name);
        let [weight, bias] = ["weight", "bias"].map(part);
        for (name, id) in [(&weight, of.weight), (&bias, of.bias)] {
            let values = self.weights.param(id)?;
            self.out.floats(name, &[values.len()], values);
        }
        let x = self.image(node.inputs[0])?;
        let [pixels, normal] = ["pixels", "normalized"].map(part);
        self.transpose(&pixels, &x, &[0, 2, 3, 1]);
        self.out.node(&Call {
            op: "LayerNormalization",
            name: &normal,
            inputs: &[&pixels, &weight, &bias],
            attributes: &[
                Attribute::Int("axis", -1),
                Attribute::Float("epsilon", norm.eps),
            ],
        });
        self.transpose(&node.name, &normal, &[0, 3, 1, 2]);
        self.gives(id);
        Ok(())
    }

    /// y = x·wᵀ + b for each row.
    pub fn linear(&mut self, id: NodeId, node: &Node, linear: &Linear) -> Result<()> {
        let x = self.value(node.inputs[0])?;
        let flat = format!("{}.input", node.name);
        self.out.node(&Call {
            op: "Flatten",
            name: &flat,
            inputs: &[&x],
            attributes: &[Attribute::Int("axis", 1)],
        });
        let params = [linear.weight, linear.bias];
        for id in params {
            let param = &self.graph.params[id];
            self.out
                .floats(&param.name, &param.shape, self.weights.param(id)?);
        }
        let [w, b] = params.map(|id| self.graph.params[id].name.as_str());
        self.out.node(&Call {
            op: "Gemm",
            name: &node.name,
            inputs: &[&flat, w, b],
            attributes: &[Attribute::Int("transB", 1)],
        });
        self.values[id] = Some(node.name.clone());
        self.flat[id] = true;
        Ok(())
    }
}

/// Whether a convolution sees one row at a time.
fn is_of_images(conv: &Conv) -> bool {
    conv.kernel[0] == 1 && conv.stride[0] == 1
}

fn altered(op: &Op) -> Option<&Alter> {
    if let Op::Alter(alter) = op {
        Some(alter)
    } else {
        None
    }
}

fn normed(op: &Op) -> Option<&BatchNorm> {
    if let Op::BatchNorm(norm) = op {
        Some(norm)
    } else {
        None
    }
}
