//! SlowFast (Feichtenhofer et al., ICCV 2019): a ResNet of few channels that sees every frame beside one of many channels that sees
//! every `alpha`-th; before each stage the slow one gets the fast one's features, by a convolution along time.
//!
//! ```text
//! stem    conv 1×7×7 (slow), 5×7×7 (fast), stride 1×2×2; norm; ReLU; max pool 1×3×3, stride 1×2×2
//! fuse    slow ← [slow, ReLU(norm(fusion_kernel×1×1 ∗ fast, stride alpha along time))]
//! block   kt×1×1, 1×3×3 (which has the stride), 1×1×1, with norms and ReLUs; kt is 3, of the slow pathway 1 in the first two stages
//! head    the mean of each pathway over time and image, side by side; dropout; a linear layer
//! ```
//!
//! At images larger than those of training the head may classify windows instead, and average their probabilities
//! ([`spec::Head::Windows`]). No convolution has a bias. FFN alters the input of each residual function; the shortcut sees what is not altered.
//!
//! Names are PySlowFast's, as in the official checkpoints: `pathway0` is the slow one.

use super::{Alteration, Architecture, Initial};
use crate::base::Result;
use crate::graph::builder::{Builder, Network};
use crate::graph::{Graph, NodeId, Param, ParamId, ParamKind};
use crate::ops::{
    Binary, ConcatChannels, Conv, Dropout, Drops, Linear, Mean, MeanProbabilities, Pool, Pooled,
    TakeFrames,
};
use crate::spec;

/// A SlowFast network.
pub struct SlowFast<'a> {
    pub layout: &'a spec::SlowFast,
    pub classes: usize,
    /// The frame count that it is trained at.
    pub frames: usize,
    /// Height and width in pixels.
    pub input: (usize, usize),
    /// Side of the images of training.
    pub trained_at: usize,
}

const CLASSIFIER_STD: f64 = 0.01;

/// Builds the vanilla network.
pub fn slowfast(slowfast: &SlowFast<'_>) -> Result<Graph> {
    let layout = slowfast.layout;
    let mut net = Builder::new(&Network {
        architecture: Architecture::SlowFast {
            alpha: layout.alpha,
        },
        classes: slowfast.classes,
        frames: slowfast.frames,
        input: slowfast.input,
    });
    let mut pathways = Pathways { net, layout };
    let slow = TakeFrames::Spread {
        every: layout.alpha,
        joined: layout.slow_frames == spec::SlowFrames::Joined,
    };
    let slow = pathways.net.layer("slow", slow, &[0])?;
    let mut x = [pathways.stem(0, slow, 1)?, pathways.stem(1, 0, 5)?];
    x[0] = pathways.fuse(1, x)?;
    for stage in 0..layout.blocks.len() {
        let inputs = x;
        for (pathway, x) in x.iter_mut().enumerate() {
            *x = pathways.stage(stage, pathway, inputs[pathway])?;
        }
        if stage + 1 < layout.blocks.len() {
            x[0] = pathways.fuse(stage + 2, x)?;
        }
    }
    net = pathways.net;
    // Each of five halvings rounds up.
    let window = (0..5).fold(slowfast.trained_at, |side, _| side.div_ceil(2));
    let shape = net.shape(x[0]);
    let is_larger = shape.height > window && shape.width > window;
    match layout.head == spec::Head::Windows && is_larger {
        true => windows(&mut net, x, slowfast.classes, window)?,
        false => head(&mut net, x, slowfast.classes)?,
    };
    net.finish()
}

/// The mean of each pathway, side by side.
fn head(net: &mut Builder, x: [NodeId; 2], classes: usize) -> Result<NodeId> {
    let mut means = Vec::new();
    for (pathway, x) in x.into_iter().enumerate() {
        let y = net.layer(&format!("head.pathway{pathway}.pixels"), Mean::Pixels, &[x])?;
        means.push(net.layer(&format!("head.pathway{pathway}.frames"), Mean::Rows, &[y])?);
    }
    let (x, weight, bias) = features(net, &means, classes)?;
    net.layer("head.projection", Linear { weight, bias }, &[x])
}

/// What the classifier reads of both pathways, and its weight and bias.
fn features(
    net: &mut Builder,
    means: &[NodeId],
    classes: usize,
) -> Result<(NodeId, ParamId, ParamId)> {
    let x = net.layer("head.concat", ConcatChannels, means)?;
    let x = net.layer("head.dropout", Dropout::layer(Drops::Values), &[x])?;
    let (features, kind) = (net.channels(x), ParamKind::ClassifierWeight);
    let weight = net.param("head.projection.weight", &[classes, features], kind);
    let bias = net.param(
        "head.projection.bias",
        &[classes],
        ParamKind::ClassifierBias,
    );
    Ok((x, weight, bias))
}

/// The mean over time of windows of `side` pixels at every pixel, each classified; the logarithm of the mean of their probabilities.
fn windows(net: &mut Builder, x: [NodeId; 2], classes: usize, side: usize) -> Result<NodeId> {
    let mut means = Vec::new();
    for (pathway, x) in x.into_iter().enumerate() {
        let y = net.layer(&format!("head.pathway{pathway}.frames"), Mean::Rows, &[x])?;
        let pool = Pool {
            pooled: Pooled::Mean,
            window: side,
            stride: 1,
            padding: 0,
        };
        means.push(net.layer(&format!("head.pathway{pathway}.windows"), pool, &[y])?);
    }
    let (x, weight, bias) = features(net, &means, classes)?;
    let projection = Conv {
        bias: Some(bias),
        ..Conv::of_images(weight, 1, 1)
    };
    let x = net.layer("head.projection", projection, &[x])?;
    net.layer("head.probabilities", MeanProbabilities, &[x])
}

/// Both pathways while they grow.
struct Pathways<'a> {
    net: Builder,
    layout: &'a spec::SlowFast,
}

/// A convolution by its output, its kernel and its stride; its padding keeps the size at stride 1.
struct Sizes {
    out: usize,
    kernel: [usize; 3],
    stride: [usize; 3],
}

impl Pathways<'_> {
    /// Channels of the first stage of a pathway.
    fn width(&self, pathway: usize) -> usize {
        match pathway {
            0 => self.layout.width,
            _ => self.layout.width / self.layout.beta,
        }
    }

    fn conv(&mut self, name: &str, sizes: &Sizes, input: NodeId) -> Result<NodeId> {
        let [time, height, width] = sizes.kernel;
        let shape = [sizes.out, self.net.channels(input), time, height, width];
        let kind = match self.net.channels(input) {
            3 => ParamKind::FirstConv,
            _ => ParamKind::Conv,
        };
        let weight = self.net.param(&format!("{name}.weight"), &shape, kind);
        let conv = Conv {
            weight,
            bias: None,
            kernel: sizes.kernel,
            stride: sizes.stride,
            padding: sizes.kernel.map(|side| side / 2),
            groups: 1,
        };
        self.net.layer(name, conv, &[input])
    }

    fn stem(&mut self, pathway: usize, input: NodeId, time: usize) -> Result<NodeId> {
        let name = format!("s1.pathway{pathway}_stem");
        let sizes = Sizes {
            out: self.width(pathway),
            kernel: [time, 7, 7],
            stride: [1, 2, 2],
        };
        let x = self.conv(&format!("{name}.conv"), &sizes, input)?;
        let x = self.net.norm(&format!("{name}.bn"), x)?;
        let x = self.net.relu(&format!("{name}.relu"), x)?;
        let pool = Pool::of_three(Pooled::Max, 2);
        self.net.layer(&format!("{name}.pool_layer"), pool, &[x])
    }

    /// The slow pathway's features, and behind them what the fast one's give.
    fn fuse(&mut self, number: usize, [slow, fast]: [NodeId; 2]) -> Result<NodeId> {
        let name = format!("s{number}_fuse");
        let sizes = Sizes {
            out: self.net.channels(fast) * self.layout.fusion_ratio,
            kernel: [self.layout.fusion_kernel, 1, 1],
            stride: [self.layout.alpha, 1, 1],
        };
        let y = self.conv(&format!("{name}.conv_f2s"), &sizes, fast)?;
        let y = self.net.norm(&format!("{name}.bn"), y)?;
        let y = self.net.relu(&format!("{name}.relu"), y)?;
        self.net
            .layer(&format!("{name}.concat"), ConcatChannels, &[slow, y])
    }

    /// The blocks of a pathway in a stage (from 0).
    fn stage(&mut self, stage: usize, pathway: usize, input: NodeId) -> Result<NodeId> {
        let mut x = input;
        for index in 0..self.layout.blocks[stage] {
            let block = Block {
                name: format!("s{}.pathway{pathway}_res{index}", stage + 2),
                inner: self.width(pathway) << stage,
                time: if pathway == 0 && stage < 2 { 1 } else { 3 },
                stride: if stage > 0 && index == 0 { 2 } else { 1 },
                is_first: index == 0,
            };
            x = block.build(self, x)?;
        }
        Ok(x)
    }
}

struct Block {
    name: String,
    inner: usize,
    /// The kernel along time of its first convolution.
    time: usize,
    stride: usize,
    is_first: bool,
}

impl Block {
    fn build(&self, pathways: &mut Pathways<'_>, input: NodeId) -> Result<NodeId> {
        let out = 4 * self.inner;
        let strided = [1, self.stride, self.stride];
        let mut shortcut = input;
        if self.is_first {
            let sizes = Sizes {
                out,
                kernel: [1; 3],
                stride: strided,
            };
            let x = pathways.conv(&self.named("branch1"), &sizes, input)?;
            shortcut = pathways.net.norm(&self.named("branch1_bn"), x)?;
        }
        let mut x = input;
        for (part, out, kernel, stride) in [
            ("a", self.inner, [self.time, 1, 1], [1; 3]),
            ("b", self.inner, [1, 3, 3], strided),
            ("c", out, [1; 3], [1; 3]),
        ] {
            let sizes = Sizes {
                out,
                kernel,
                stride,
            };
            x = pathways.conv(&self.named(&format!("branch2.{part}")), &sizes, x)?;
            x = pathways
                .net
                .norm(&self.named(&format!("branch2.{part}_bn")), x)?;
            if part != "c" {
                x = pathways
                    .net
                    .relu(&self.named(&format!("branch2.{part}_relu")), x)?;
            }
        }
        let sum = pathways
            .net
            .layer(&self.named("add"), Binary::Add, &[shortcut, x])?;
        pathways.net.relu(&self.named("relu"), sum)
    }

    fn named(&self, part: &str) -> String {
        format!("{}.{part}", self.name)
    }
}

/// The input of each residual function's first convolution.
pub fn alteration(name: &str) -> Option<Alteration<'_>> {
    let block = name.strip_suffix(".a")?;
    block.ends_with(".branch2").then_some(Alteration {
        block,
        of_stream: false,
    })
}

/// The official name of one of Caffe2's blobs, in which PySlowFast's weights of Kinetics are published: `t_res2_0_branch2a_bn_s` is
/// `s2.pathway1_res0.branch2.a_bn.weight`.
pub fn of_caffe2(blob: &str) -> Option<String> {
    let (pathway, rest) = match blob.strip_prefix("t_") {
        Some(rest) => (1, rest),
        None => (0, blob),
    };
    let (place, kind) = rest.rsplit_once('_')?;
    let (place, is_norm) = match place.strip_suffix("_bn") {
        Some(place) => (place, true),
        None => (place, false),
    };
    let kind = match (kind, is_norm) {
        ("w", false) | ("s", true) => "weight",
        ("b", _) => "bias",
        ("rm", true) => "running_mean",
        ("riv", true) => "running_var",
        _ => return None,
    };
    if let Some(fuse) = place.strip_suffix("_subsample") {
        let stage = match fuse {
            "pool1" => 1,
            _ => stage_of(fuse)?.0,
        };
        let module = if is_norm { "bn" } else { "conv_f2s" };
        return Some(format!("s{stage}_fuse.{module}.{kind}"));
    }
    let module = match (place, is_norm) {
        ("conv1", false) => format!("s1.pathway{pathway}_stem.conv"),
        ("res_conv1", true) => format!("s1.pathway{pathway}_stem.bn"),
        ("pred", false) => "head.projection".to_owned(),
        _ => {
            let (stage, block, branch) = stage_of(place)?;
            let branch = match branch {
                "branch1" => branch.to_owned(),
                _ => format!("branch2.{}", branch.strip_prefix("branch2")?),
            };
            let norm = if is_norm { "_bn" } else { "" };
            format!("s{stage}.pathway{pathway}_res{block}.{branch}{norm}")
        }
    };
    Some(format!("{module}.{kind}"))
}

/// Stage, block and branch of `res2_0_branch2a`.
fn stage_of(place: &str) -> Option<(usize, usize, &str)> {
    let mut parts = place.strip_prefix("res")?.splitn(3, '_');
    let (stage, block) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((stage, block, parts.next()?))
}

/// Whether a blob belongs to the optimiser that made the weights.
pub fn is_of_optimizer(blob: &str) -> bool {
    blob.contains("momentum") || blob == "lr" || blob == "model_iter"
}

/// Convolutions Kaiming normal with fan-out; norms 1 and 0, but those that end a residual function 0 and 0; the classifier normal
/// with standard deviation 0.01.
pub fn initial(param: &Param) -> Initial {
    let shared = Architecture::SlowFast { alpha: 1 }.vanilla_name(&param.name);
    match param.kind {
        ParamKind::NormWeight if shared.ends_with(".c_bn.weight") => Initial::Constant(0.0),
        ParamKind::ClassifierWeight => Initial::Normal {
            std: CLASSIFIER_STD,
        },
        ParamKind::FirstConv
        | ParamKind::Conv
        | ParamKind::ConvBias
        | ParamKind::NormWeight
        | ParamKind::NormBias
        | ParamKind::ClassifierBias
        | ParamKind::Alteration => Initial::usual(param),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_have_official_names() {
        for (blob, name) in [
            ("conv1_w", "s1.pathway0_stem.conv.weight"),
            ("t_conv1_w", "s1.pathway1_stem.conv.weight"),
            ("res_conv1_bn_riv", "s1.pathway0_stem.bn.running_var"),
            ("t_pool1_subsample_w", "s1_fuse.conv_f2s.weight"),
            ("t_pool1_subsample_bn_b", "s1_fuse.bn.bias"),
            (
                "t_res4_5_branch2c_bn_subsample_w",
                "s4_fuse.conv_f2s.weight",
            ),
            (
                "t_res3_3_branch2c_bn_subsample_bn_rm",
                "s3_fuse.bn.running_mean",
            ),
            ("res2_0_branch1_w", "s2.pathway0_res0.branch1.weight"),
            ("res2_0_branch1_bn_s", "s2.pathway0_res0.branch1_bn.weight"),
            (
                "t_res5_2_branch2b_bn_rm",
                "s5.pathway1_res2.branch2.b_bn.running_mean",
            ),
            ("pred_w", "head.projection.weight"),
            ("pred_b", "head.projection.bias"),
        ] {
            assert_eq!(of_caffe2(blob).as_deref(), Some(name), "{blob}");
        }
        for other in ["lr", "conv1_w_momentum", "s2_fuse.bn.weight", "res2_0_w"] {
            assert_eq!(of_caffe2(other), None, "{other}");
        }
    }
}
