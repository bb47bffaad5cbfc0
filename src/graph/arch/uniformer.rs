//! UniFormer (Li et al., ICLR 2022, arXiv 2201.09450): a patch embedding before each of four stages; in the first two, blocks that
//! relate a pixel to its neighbours by depthwise convolutions, in the last two, blocks of attention over all pixels of a clip.
//!
//! With x the stream, ⊛ a depthwise convolution with a bias:
//!
//! ```text
//! x ← x + 3×3×3 ⊛ x                                          pos_embed
//! x ← x + conv2(5×5×5 ⊛ conv1(BN x))     or     x ← x + proj(attention(qkv(LN x)))
//! x ← x + fc2(GELU(fc1(N x)))                                N: BN or LN
//! ```
//!
//! Time is halved once, in the first embedding. The eps of layer norms is 1e-5 in embeddings and 1e-6 in blocks. FFN alters the
//! stream at the beginning of each block, what is carried on by the residuals included.
//!
//! Names are those of the official checkpoints.

use super::{Alteration, Architecture, Initial};
use crate::base::Result;
use crate::graph::builder::{Builder, Network};
use crate::graph::{Graph, NodeId, NormParams, Param, ParamId, ParamKind};
use crate::ops::{
    Affine, Attention, Binary, Conv, Dropout, Drops, Each, LayerNorm, Linear, Mean, Op,
};
use crate::spec;

/// A UniFormer network.
pub struct UniFormer<'a> {
    pub layout: &'a spec::UniFormer,
    pub classes: usize,
    /// The frame count that it is trained at.
    pub frames: usize,
    /// Height and width in pixels.
    pub input: (usize, usize),
}

/// Stages of convolutions; the others are of attention.
const LOCAL: usize = 2;
const EMBEDDING_EPS: f64 = 1e-5;
const BLOCK_EPS: f64 = 1e-6;
const LINEAR_STD: f64 = 0.02;

/// Builds the vanilla network.
pub fn uniformer(uniformer: &UniFormer<'_>) -> Result<Graph> {
    let spec::UniFormer { widths, depths, .. } = *uniformer.layout;
    let mut net = Builder::new(&Network {
        architecture: Architecture::UniFormer,
        classes: uniformer.classes,
        frames: uniformer.frames,
        input: uniformer.input,
    });
    // All parameters first: the official order is not that of the layers.
    let embeddings: Vec<Embedding> = (0..4)
        .map(|stage| Embedding::new(&mut net, stage, &widths))
        .collect();
    let mut blocks: Vec<Vec<Block>> = Vec::new();
    let (count, mut before) = (depths.iter().sum::<usize>(), 0);
    for (stage, &depth) in depths.iter().enumerate() {
        let of_stage = (0..depth).map(|index| {
            let place = (before + index) as f32;
            let share = place / (count.max(2) - 1) as f32;
            Block::new(&mut net, (stage, index), uniformer.layout, share)
        });
        blocks.push(of_stage.collect());
        before += depth;
    }
    let norm = net.norm_params("norm", widths[3]);
    let mut x = 0;
    for (embedding, blocks) in embeddings.iter().zip(&blocks) {
        x = embedding.build(&mut net, x)?;
        for block in blocks {
            x = block.build(&mut net, x)?;
        }
    }
    let x = net.norm_of("norm", norm, x)?;
    head(&mut net, x, uniformer.classes)?;
    net.finish()
}

/// The mean of everything, and a linear layer.
fn head(net: &mut Builder, x: NodeId, classes: usize) -> Result<NodeId> {
    let features = net.channels(x);
    let kind = ParamKind::ClassifierWeight;
    let weight = net.param("head.weight", &[classes, features], kind);
    let bias = net.param("head.bias", &[classes], ParamKind::ClassifierBias);
    let x = net.layer("pool.pixels", Mean::Pixels, &[x])?;
    let x = net.layer("pool.frames", Mean::Rows, &[x])?;
    net.layer("head", Linear { weight, bias }, &[x])
}

/// Weight and bias of a convolution or a linear layer.
#[derive(Clone, Copy)]
struct Product {
    weight: ParamId,
    bias: ParamId,
}

impl Product {
    fn new(net: &mut Builder, name: &str, shape: &[usize], kind: ParamKind) -> Self {
        let weight = net.param(&format!("{name}.weight"), shape, kind);
        let bias = net.param(&format!("{name}.bias"), &shape[..1], ParamKind::ConvBias);
        Self { weight, bias }
    }

    /// Of single pixels.
    fn pointwise(self) -> Conv {
        Conv {
            bias: Some(self.bias),
            ..Conv::of_images(self.weight, 1, 1)
        }
    }

    /// With a kernel of `side` along time, height and width for each channel.
    fn depthwise(self, side: usize, channels: usize) -> Conv {
        Conv {
            weight: self.weight,
            bias: Some(self.bias),
            kernel: [side; 3],
            stride: [1; 3],
            padding: [side / 2; 3],
            groups: channels,
        }
    }
}

fn affine(net: &mut Builder, name: &str, channels: usize) -> Affine {
    let weight = format!("{name}.weight");
    Affine {
        weight: net.param(&weight, &[channels], ParamKind::NormWeight),
        bias: net.param(&format!("{name}.bias"), &[channels], ParamKind::NormBias),
    }
}

fn layer_norm(affine: Affine, eps: f64) -> LayerNorm {
    LayerNorm {
        branches: vec![affine],
        eps,
    }
}

/// A convolution whose windows do not overlap in space, and a layer norm.
struct Embedding {
    name: String,
    is_first: bool,
    norm: Affine,
    proj: Product,
}

impl Embedding {
    fn new(net: &mut Builder, stage: usize, widths: &[usize; 4]) -> Self {
        let (name, is_first) = (format!("patch_embed{}", stage + 1), stage == 0);
        let norm = affine(net, &format!("{name}.norm"), widths[stage]);
        let (shape, kind) = match stage.checked_sub(1) {
            None => ([widths[0], 3, 3, 4, 4], ParamKind::FirstConv),
            Some(before) => ([widths[stage], widths[before], 1, 2, 2], ParamKind::Conv),
        };
        Self {
            proj: Product::new(net, &format!("{name}.proj"), &shape, kind),
            name,
            is_first,
            norm,
        }
    }

    fn build(&self, net: &mut Builder, input: NodeId) -> Result<NodeId> {
        let (kernel, stride, padding) = match self.is_first {
            true => ([3, 4, 4], [2, 4, 4], [1, 0, 0]),
            false => ([1, 2, 2], [1, 2, 2], [0, 0, 0]),
        };
        let conv = Conv {
            weight: self.proj.weight,
            bias: Some(self.proj.bias),
            kernel,
            stride,
            padding,
            groups: 1,
        };
        let x = net.layer(&format!("{}.proj", self.name), conv, &[input])?;
        let norm = layer_norm(self.norm, EMBEDDING_EPS);
        net.layer(&format!("{}.norm", self.name), norm, &[x])
    }
}

struct Block {
    name: String,
    width: usize,
    /// Of the probability that its residuals are dropped.
    share: f32,
    pos_embed: Product,
    relation: Relation,
    norm: Norm,
    fc1: Product,
    fc2: Product,
}

/// A block's second norm.
enum Norm {
    Batch(NormParams),
    Layer(Affine),
}

/// How the pixels of a block see one another.
enum Relation {
    Local {
        norm: NormParams,
        conv1: Product,
        conv2: Product,
        attn: Product,
    },
    Global {
        norm: Affine,
        qkv: Product,
        proj: Product,
        heads: usize,
    },
}

impl Block {
    fn new(
        net: &mut Builder,
        (stage, index): (usize, usize),
        layout: &spec::UniFormer,
        share: f32,
    ) -> Self {
        let (name, width) = (format!("blocks{}.{index}", stage + 1), layout.widths[stage]);
        let is_local = stage < LOCAL;
        let inner = layout.mlp_ratio * width;
        let part = |part: &str| format!("{name}.{part}");
        let product = |net: &mut Builder, of: &str, shape: &[usize]| {
            Product::new(net, &part(of), shape, ParamKind::Conv)
        };
        // Linear layers are convolutions with a kernel of one value in the first stages, matrices in the last.
        let pointwise = |net: &mut Builder, of: &str, out: usize, from: usize| match is_local {
            true => product(net, of, &[out, from, 1, 1, 1]),
            false => product(net, of, &[out, from]),
        };
        Self {
            width,
            share,
            pos_embed: product(net, "pos_embed", &[width, 1, 3, 3, 3]),
            relation: match is_local {
                true => Relation::Local {
                    norm: net.norm_params(&part("norm1"), width),
                    conv1: pointwise(net, "conv1", width, width),
                    conv2: pointwise(net, "conv2", width, width),
                    attn: product(net, "attn", &[width, 1, 5, 5, 5]),
                },
                false => Relation::Global {
                    norm: affine(net, &part("norm1"), width),
                    qkv: pointwise(net, "attn.qkv", 3 * width, width),
                    proj: pointwise(net, "attn.proj", width, width),
                    heads: width / layout.head_width,
                },
            },
            norm: match is_local {
                true => Norm::Batch(net.norm_params(&part("norm2"), width)),
                false => Norm::Layer(affine(net, &part("norm2"), width)),
            },
            fc1: pointwise(net, "mlp.fc1", inner, width),
            fc2: pointwise(net, "mlp.fc2", width, inner),
            name,
        }
    }

    fn build(&self, net: &mut Builder, input: NodeId) -> Result<NodeId> {
        let pos_embed = self.pos_embed.depthwise(3, self.width);
        let p = self.layer(net, "pos_embed", pos_embed, &[input])?;
        let x = self.layer(net, "pos_add", Binary::Add, &[input, p])?;
        let y = self.relate(net, x)?;
        let x = self.residual(net, 1, [x, y])?;
        let y = match &self.norm {
            Norm::Batch(params) => net.norm_of(&self.named("norm2"), *params, x)?,
            Norm::Layer(affine) => {
                self.layer(net, "norm2", layer_norm(*affine, BLOCK_EPS), &[x])?
            }
        };
        let y = self.layer(net, "mlp.fc1", self.fc1.pointwise(), &[y])?;
        let y = self.layer(net, "mlp.act", Each::Gelu, &[y])?;
        let y = self.layer(net, "mlp.fc2", self.fc2.pointwise(), &[y])?;
        self.residual(net, 2, [x, y])
    }

    fn relate(&self, net: &mut Builder, x: NodeId) -> Result<NodeId> {
        match &self.relation {
            Relation::Local {
                norm,
                conv1,
                conv2,
                attn,
            } => {
                let y = net.norm_of(&self.named("norm1"), *norm, x)?;
                let y = self.layer(net, "conv1", conv1.pointwise(), &[y])?;
                let y = self.layer(net, "attn", attn.depthwise(5, self.width), &[y])?;
                self.layer(net, "conv2", conv2.pointwise(), &[y])
            }
            Relation::Global {
                norm,
                qkv,
                proj,
                heads,
            } => {
                let y = self.layer(net, "norm1", layer_norm(*norm, BLOCK_EPS), &[x])?;
                let y = self.layer(net, "attn.qkv", qkv.pointwise(), &[y])?;
                let attention = Attention {
                    heads: *heads,
                    scale: ((self.width / heads) as f64).powf(-0.5),
                };
                let y = self.layer(net, "attn.attention", attention, &[y])?;
                self.layer(net, "attn.proj", proj.pointwise(), &[y])
            }
        }
    }

    /// x + y, where y is dropped as a whole now and then.
    fn residual(&self, net: &mut Builder, number: usize, [x, y]: [NodeId; 2]) -> Result<NodeId> {
        let drop_path = Dropout::layer(Drops::Clips { share: self.share });
        let y = self.layer(net, &format!("drop_path{number}"), drop_path, &[y])?;
        self.layer(net, &format!("add{number}"), Binary::Add, &[x, y])
    }

    fn named(&self, part: &str) -> String {
        format!("{}.{part}", self.name)
    }

    fn layer(
        &self,
        net: &mut Builder,
        part: &str,
        op: impl Into<Op>,
        inputs: &[NodeId],
    ) -> Result<NodeId> {
        net.layer(&self.named(part), op, inputs)
    }
}

/// The stream, at the beginning of every block.
pub fn alteration(name: &str) -> Option<Alteration<'_>> {
    let block = name.strip_suffix(".pos_embed")?;
    Some(Alteration {
        block,
        of_stream: true,
    })
}

/// Linear layers normal with standard deviation 0.02 and bias 0; convolutions PyTorch's default, weight and bias uniform up to
/// 1/√fan_in.
pub fn initial(graph: &Graph, param: &Param) -> Initial {
    let weight = match param.name.strip_suffix(".bias") {
        Some(module) => {
            let name = format!("{module}.weight");
            graph.params.iter().find(|param| param.name == name)
        }
        None => Some(param),
    };
    let shape = weight.map_or(&param.shape[..], |weight| &weight.shape);
    let is_linear = shape.len() == 2;
    let fan_in: usize = shape.iter().skip(1).product();
    match param.kind {
        ParamKind::FirstConv | ParamKind::Conv | ParamKind::ClassifierWeight if is_linear => {
            Initial::Normal { std: LINEAR_STD }
        }
        ParamKind::ConvBias if is_linear => Initial::Constant(0.0),
        ParamKind::FirstConv
        | ParamKind::Conv
        | ParamKind::ConvBias
        | ParamKind::ClassifierWeight => Initial::Uniform {
            bound: (fan_in.max(1) as f64).sqrt().recip(),
        },
        ParamKind::NormWeight => Initial::Constant(1.0),
        ParamKind::NormBias | ParamKind::ClassifierBias => Initial::Constant(0.0),
        ParamKind::Alteration => Initial::Alteration,
    }
}
