//! TEA (Li et al., CVPR 2020, arXiv 2004.01398) on a Res2Net (Gao et al., TPAMI 2019): frames are images of one batch; time mixes in two
//! places of every block, the motion excitation and the temporal convolutions.
//!
//! A block of width W = 4·w for its planes p, w = ⌊width·p/64⌋, reduced width r = ⌊W/16⌋ (4 is the backbone's scale):
//!
//! 1. a = ReLU(bn1(conv1 x)), 1×1, W channels;
//! 2. a ← ME(a): b = bn1(conv1 a) with r channels, m = conv2 b (3×3, a kernel for each channel), `d[t] = m[t+1] − b[t]`, zero in the
//!    clip's last frame, g = bn3(conv3(mean of d's pixels)), a·(½ + sigmoid g);
//! 3. a's channels in four parts a₀ … a₃, in order; for i < 3 uᵢ = aᵢ, in blocks that are not the first of their stage + yᵢ₋₁, and
//!    yᵢ = ReLU(bnsᵢ(convsᵢ(shiftsᵢ uᵢ))), where shifts is a convolution along time with a kernel of three for each channel, before the
//!    3×3 and its stride;
//! 4. y₃ = shifts₃ a₃, in a stage's first block then pooled, 3×3 means with padding counted;
//! 5. ReLU(bn3(conv3[y₀ y₁ y₂ y₃]) + shortcut x), 1×1, 4·p channels.
//!
//! Names and their order are those of the official checkpoints. FFN's official TEA has private norms and no alteration.

use super::{Architecture, Initial};
use crate::base::Result;
use crate::graph::builder::{Builder, Network};
use crate::graph::{Graph, NodeId, Param, ParamId, ParamKind};
use crate::ops::{
    Binary, ConcatChannels, Conv, Each, Mean, NormParams, Pool, Pooled, SliceChannels, TakeFrames,
};
use crate::spec::Res2Net;

/// How much narrower the motion excitation is than its block.
const REDUCTION: usize = 16;

/// A TEA network.
pub struct Tea<'a> {
    pub backbone: &'a Res2Net,
    pub classes: usize,
    /// The frame count that it is trained at.
    pub frames: usize,
    /// Height and width in pixels.
    pub input: (usize, usize),
}

/// Builds the vanilla network.
pub fn tea(tea: &Tea<'_>) -> Result<Graph> {
    let mut net = Builder::new(&Network {
        architecture: Architecture::Tea,
        classes: tea.classes,
        frames: tea.frames,
        input: tea.input,
    });
    let Res2Net {
        blocks,
        planes,
        width,
        scale,
    } = *tea.backbone;
    let x = net.conv("base_model.conv1", (planes, 7, 2), 0)?;
    let x = net.norm("base_model.bn1", x)?;
    let x = net.relu("base_model.relu", x)?;
    let mut x = net.layer("base_model.maxpool", Pool::of_three(Pooled::Max, 2), &[x])?;
    for (stage, blocks) in blocks.into_iter().enumerate() {
        for index in 0..blocks {
            let block = Block {
                name: format!("base_model.layer{}.{index}", stage + 1),
                planes: planes << stage,
                width: (width * (planes << stage) / 64).max(1),
                parts: scale,
                stride: if stage > 0 && index == 0 { 2 } else { 1 },
                is_first: index == 0,
            };
            x = block.build(&mut net, x)?;
        }
    }
    net.frame_classifier(x)?;
    net.finish()
}

struct Block {
    name: String,
    planes: usize,
    /// Of a part.
    width: usize,
    /// That its channels are taken apart into.
    parts: usize,
    stride: usize,
    /// Of its stage.
    is_first: bool,
}

/// The parameters of a block.
struct Params {
    excitation: Excitation,
    conv1: ParamId,
    bn1: NormParams,
    convs: Vec<ParamId>,
    bns: Vec<NormParams>,
    shifts: Vec<ParamId>,
    conv3: ParamId,
    bn3: NormParams,
}

struct Excitation {
    conv1: ParamId,
    bn1: NormParams,
    conv2: ParamId,
    conv3: ParamId,
    bn3: NormParams,
}

impl Block {
    fn channels(&self) -> usize {
        self.parts * self.width
    }

    fn named(&self, part: &str) -> String {
        format!("{}.{part}", self.name)
    }

    fn weight(&self, net: &mut Builder, part: &str, shape: &[usize]) -> ParamId {
        let name = format!("{}.{part}.weight", self.name);
        net.param(&name, shape, ParamKind::Conv)
    }

    fn norm_params(&self, net: &mut Builder, part: &str, channels: usize) -> NormParams {
        net.norm_params(&self.named(part), channels)
    }

    /// In the order of the official checkpoint, which is not that of the layers.
    fn params(&self, net: &mut Builder, inputs: usize) -> Params {
        let (w, all) = (self.width, self.channels());
        let reduced = (all / REDUCTION).max(1);
        let excitation = Excitation {
            conv1: self.weight(net, "me.conv1", &[reduced, all, 1, 1]),
            bn1: self.norm_params(net, "me.bn1", reduced),
            conv2: self.weight(net, "me.conv2", &[reduced, 1, 3, 3]),
            conv3: self.weight(net, "me.conv3", &[all, reduced, 1, 1]),
            bn3: self.norm_params(net, "me.bn3", all),
        };
        let conv1 = self.weight(net, "conv1", &[all, inputs, 1, 1]);
        let bn1 = self.norm_params(net, "bn1", all);
        let (parts, last) = (0..self.parts - 1, self.parts - 1);
        let convs = parts
            .clone()
            .map(|i| self.weight(net, &format!("convs.{i}"), &[w, w, 3, 3]));
        let convs = convs.collect();
        let bns = parts
            .map(|i| self.norm_params(net, &format!("bns.{i}"), w))
            .collect();
        let shifts = (0..=last).map(|i| self.weight(net, &format!("shifts.{i}.conv"), &[w, 1, 3]));
        let shifts = shifts.collect();
        Params {
            excitation,
            conv1,
            bn1,
            convs,
            bns,
            shifts,
            conv3: self.weight(net, "conv3", &[4 * self.planes, all, 1, 1]),
            bn3: self.norm_params(net, "bn3", 4 * self.planes),
        }
    }

    fn build(&self, net: &mut Builder, input: NodeId) -> Result<NodeId> {
        let params = self.params(net, net.channels(input));
        let a = net.layer(
            &self.named("conv1"),
            Conv::of_images(params.conv1, 1, 1),
            &[input],
        )?;
        let a = net.norm_of(&self.named("bn1"), params.bn1, a)?;
        let a = net.relu(&self.named("relu1"), a)?;
        let a = self.excite(net, &params.excitation, a)?;
        let parts = self.parts(net, &params, a)?;
        let y = net.layer(&self.named("concat"), ConcatChannels, &parts)?;
        let y = net.layer(
            &self.named("conv3"),
            Conv::of_images(params.conv3, 1, 1),
            &[y],
        )?;
        let y = net.norm_of(&self.named("bn3"), params.bn3, y)?;
        let shortcut = self.shortcut(net, input)?;
        let sum = net.layer(&self.named("add"), Binary::Add, &[y, shortcut])?;
        net.relu(&self.named("relu"), sum)
    }

    /// Motion excitation: a·(½ + sigmoid g).
    fn excite(&self, net: &mut Builder, params: &Excitation, a: NodeId) -> Result<NodeId> {
        let of = |part: &str| format!("{}.me.{part}", self.name);
        let b = net.layer(&of("conv1"), Conv::of_images(params.conv1, 1, 1), &[a])?;
        let b = net.norm_of(&of("bn1"), params.bn1, b)?;
        let depthwise = Conv {
            groups: net.channels(b),
            ..Conv::of_images(params.conv2, 3, 1)
        };
        let m = net.layer(&of("conv2"), depthwise, &[b])?;
        // d[t] = m[t+1] − b[t] with d = 0 in the last frame: (m − previous b) taken from the next frame.
        let before = net.layer(&of("previous"), TakeFrames::Moved { offset: -1 }, &[b])?;
        let d = net.layer(&of("difference"), Binary::Subtract, &[m, before])?;
        let d = net.layer(&of("next"), TakeFrames::Moved { offset: 1 }, &[d])?;
        let g = net.layer(&of("avg_pool"), Mean::Pixels, &[d])?;
        let g = net.layer(&of("conv3"), Conv::of_images(params.conv3, 1, 1), &[g])?;
        let g = net.norm_of(&of("bn3"), params.bn3, g)?;
        let g = net.layer(&of("sigmoid"), Each::Sigmoid, &[g])?;
        let g = net.layer(&of("gate"), Each::Add(0.5), &[g])?;
        net.layer(&of("excite"), Binary::Multiply, &[a, g])
    }

    /// What the block's parts give, side by side.
    fn parts(&self, net: &mut Builder, params: &Params, a: NodeId) -> Result<Vec<NodeId>> {
        let (count, mut parts) = (self.width, Vec::new());
        for i in 0..self.parts {
            let slice = SliceChannels {
                first: i * count,
                count,
            };
            let mut u = net.layer(&self.named(&format!("split.{i}")), slice, &[a])?;
            if let Some(&before) = parts.last()
                && !self.is_first
                && i < self.parts - 1
            {
                u = net.layer(
                    &self.named(&format!("cascade.{i}")),
                    Binary::Add,
                    &[u, before],
                )?;
            }
            let temporal = Conv::along_time(params.shifts[i], 3, count);
            let u = net.layer(&self.named(&format!("shifts.{i}.conv")), temporal, &[u])?;
            parts.push(if i < self.parts - 1 {
                let conv = Conv::of_images(params.convs[i], 3, self.stride);
                let y = net.layer(&self.named(&format!("convs.{i}")), conv, &[u])?;
                let y = net.norm_of(&self.named(&format!("bns.{i}")), params.bns[i], y)?;
                net.relu(&self.named(&format!("relus.{i}")), y)?
            } else if self.is_first {
                let pool = Pool::of_three(Pooled::Mean, self.stride);
                net.layer(&self.named("pool"), pool, &[u])?
            } else {
                u
            });
        }
        Ok(parts)
    }

    /// The identity, or in a stage's first block a 1×1 convolution with a norm.
    fn shortcut(&self, net: &mut Builder, input: NodeId) -> Result<NodeId> {
        if !self.is_first {
            return Ok(input);
        }
        let out = 4 * self.planes;
        let x = net.conv(&self.named("downsample.0"), (out, 1, self.stride), input)?;
        net.norm(&self.named("downsample.1"), x)
    }
}

/// Temporal kernels begin as the identity, (0, 1, 0); those of a block's last part move their channels, the first half from the
/// next frame, (0, 0, 1), the others from the previous one, (1, 0, 0).
pub fn initial(graph: &Graph, param: &Param) -> Initial {
    temporal_kernels(graph, param).map_or_else(|| Initial::usual(param), Initial::Values)
}

fn temporal_kernels(graph: &Graph, param: &Param) -> Option<Vec<f32>> {
    let (list, index) = param
        .name
        .strip_suffix(".conv.weight")?
        .rsplit_once(".shifts.")?;
    let next = format!(
        "{list}.shifts.{}.conv.weight",
        index.parse::<usize>().ok()? + 1
    );
    let is_last = graph.params.iter().all(|param| param.name != next);
    let channels = param.shape[0];
    let kernel = |channel: usize| match (is_last, channel < channels / 2) {
        (false, _) => [0.0, 1.0, 0.0],
        (true, true) => [0.0, 0.0, 1.0],
        (true, false) => [1.0, 0.0, 0.0],
    };
    Some((0..channels).flat_map(kernel).collect())
}

/// The official name of one branch's norm: behind the list's name in a list, else behind its own.
pub fn private_norm(name: &str, frames: usize) -> String {
    match name.rsplit_once(".bns.") {
        Some((block, index)) => format!("{block}.bns_{frames}.{index}"),
        None => format!("{name}_{frames}"),
    }
}

/// What the official checkpoint keeps together for each branch: the norms of a list.
pub fn private_unit(norm: &str) -> &str {
    match norm.rsplit_once(".bns.") {
        Some((block, _)) => &norm[..block.len() + ".bns".len()],
        None => norm,
    }
}
