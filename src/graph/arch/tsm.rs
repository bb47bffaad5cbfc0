//! TSM (Lin, Gan, Han, ICCV 2019) on a ResNet (He et al., CVPR 2016): frames are images of one batch; each residual
//! block shifts part of its channels in time; the classifier's outputs are averaged over the frames.
//!
//! Names are those of the official checkpoints: torchvision's under `base_model.`, the classifier `new_fc`.

use super::{Alteration, Architecture};
use crate::base::Result;
use crate::graph::builder::{Builder, Network};
use crate::graph::{Graph, NodeId};
use crate::ops::{self, Binary, Pool, Pooled};
use crate::spec::{Backbone, Block, ResNet, Shift, ShiftPlace, Stem};

/// A TSM network.
pub struct Tsm<'a> {
    pub backbone: &'a Backbone,
    pub shift: &'a Shift,
    pub classes: usize,
    /// The frame count that it is trained at.
    pub frames: usize,
    /// Height and width in pixels.
    pub input: (usize, usize),
}

/// Builds the vanilla network.
pub fn tsm(tsm: &Tsm<'_>) -> Result<Graph> {
    let layout = tsm.backbone.layout();
    let mut net = Builder::new(&Network {
        architecture: Architecture::Tsm,
        classes: tsm.classes,
        frames: tsm.frames,
        input: tsm.input,
    });
    let mut x = stem(&mut net, &layout)?;
    for (stage, &blocks) in layout.blocks.iter().enumerate() {
        for index in 0..blocks {
            let place = if index % shift_every(&layout) == 0 {
                tsm.shift.place
            } else {
                ShiftPlace::Nowhere
            };
            let block = ResidualBlock {
                name: format!("base_model.layer{}.{index}", stage + 1),
                kind: layout.block,
                width: layout.width << stage,
                stride: if stage > 0 && index == 0 { 2 } else { 1 },
                shift: place,
                div: tsm.shift.div,
            };
            x = block.build(&mut net, x)?;
        }
    }
    net.frame_classifier(x)?;
    net.finish()
}

/// TSM's code shifts only every second block of a network whose third stage has 23 blocks or more (ResNet-101).
fn shift_every(layout: &ResNet) -> usize {
    match layout.blocks.get(2) {
        Some(&blocks) if blocks >= 23 => 2,
        _ => 1,
    }
}

struct ResidualBlock {
    name: String,
    kind: Block,
    width: usize,
    stride: usize,
    shift: ShiftPlace,
    /// Of the shift.
    div: usize,
}

impl ResidualBlock {
    /// Kernel, stride and width of its convolutions, in order.
    fn convolutions(&self) -> Vec<(usize, usize, usize)> {
        match self.kind {
            Block::Basic => vec![(3, self.stride, self.width), (3, 1, self.width)],
            Block::Bottleneck => vec![
                (1, 1, self.width),
                (3, self.stride, self.width),
                (1, 1, 4 * self.width),
            ],
        }
    }

    /// y = relu(F(shift(x)) + shortcut(x)), where F's convolutions are followed by norms.
    fn build(&self, net: &mut Builder, input: NodeId) -> Result<NodeId> {
        let name = &self.name;
        let mut input = input;
        if self.shift == ShiftPlace::BlockInput {
            input = self.shift(net, input)?;
        }
        let mut x = input;
        if self.shift == ShiftPlace::ResidualInput {
            x = self.shift(net, x)?;
        }
        let convolutions = self.convolutions();
        for (i, &(kernel, stride, out)) in convolutions.iter().enumerate() {
            let number = i + 1;
            x = net.conv(&format!("{name}.conv{number}"), (out, kernel, stride), x)?;
            if i == 0 && self.shift == ShiftPlace::AfterFirstConv {
                x = self.shift(net, x)?;
            }
            x = net.norm(&format!("{name}.bn{number}"), x)?;
            if number < convolutions.len() {
                x = net.relu(&format!("{name}.relu{number}"), x)?;
            }
        }
        let shortcut = self.shortcut(net, input, net.channels(x))?;
        let sum = net.layer(&format!("{name}.add"), Binary::Add, &[x, shortcut])?;
        net.relu(&format!("{name}.relu"), sum)
    }

    fn shift(&self, net: &mut Builder, x: NodeId) -> Result<NodeId> {
        let div = self.div;
        net.layer(&format!("{}.shift", self.name), ops::Shift { div }, &[x])
    }

    /// The identity, or a 1×1 convolution with a norm where the size or the width changes.
    fn shortcut(&self, net: &mut Builder, input: NodeId, out: usize) -> Result<NodeId> {
        if self.stride == 1 && net.channels(input) == out {
            return Ok(input);
        }
        let name = &self.name;
        let x = net.conv(
            &format!("{name}.downsample.0"),
            (out, 1, self.stride),
            input,
        )?;
        net.norm(&format!("{name}.downsample.1"), x)
    }
}

fn stem(net: &mut Builder, layout: &ResNet) -> Result<NodeId> {
    let (kernel, stride) = match layout.stem {
        Stem::ImageNet => (7, 2),
        Stem::Small => (3, 1),
    };
    let x = net.conv("base_model.conv1", (layout.width, kernel, stride), 0)?;
    let x = net.norm("base_model.bn1", x)?;
    let x = net.relu("base_model.relu", x)?;
    match layout.stem {
        Stem::Small => Ok(x),
        Stem::ImageNet => net.layer("base_model.maxpool", Pool::of_three(Pooled::Max, 2), &[x]),
    }
}

/// FFN alters the input of each block's first convolution.
pub fn alteration(name: &str) -> Option<Alteration<'_>> {
    let block = name.strip_suffix(".conv1")?;
    block.contains(".layer").then_some(Alteration {
        block,
        of_stream: false,
    })
}

/// A shortcut's parts have other names once the norms are private.
pub fn private_layer(name: &str) -> String {
    let shortcut =
        |part: &str, new: &str| name.strip_suffix(part).map(|block| format!("{block}{new}"));
    shortcut(".downsample.0", ".downsample_conv")
        .or_else(|| shortcut(".downsample.1", ".downsample_bn"))
        .unwrap_or_else(|| name.to_string())
}
