//! What an architecture's tensors, blocks and nodes are called elsewhere: in official checkpoints, in files of backbones, by a
//! person.

use super::{Architecture, slowfast};
use crate::spec::{Backbone, Model};

/// The module around the backbone, in every official code of this kind.
const WRAPPER: &str = "base_model.";

impl Architecture {
    /// The name in the vanilla network of a parameter or running statistic: `….bn1_8.weight` → `….bn1.weight`,
    /// `….downsample_conv.weight` → `….downsample.0.weight`; others stay.
    pub fn vanilla_name(self, tensor: &str) -> String {
        let Some((module, leaf)) = tensor.rsplit_once('.') else {
            return tensor.to_owned();
        };
        let module = match self {
            Self::Tsm | Self::SlowFast { .. } | Self::UniFormer => shared(module).to_owned(),
            Self::Tea => shared_in_list(module),
        };
        let module = match module.rsplit_once('.') {
            Some((block, "downsample_conv")) => format!("{block}.downsample.0"),
            Some((block, "downsample_bn")) => format!("{block}.downsample.1"),
            Some(_) | None => module,
        };
        format!("{module}.{leaf}")
    }

    /// A name without the wrapper around the backbone: torchvision's, and what a person writes.
    pub fn short_name(self, name: &str) -> &str {
        match self {
            Self::Tsm | Self::Tea => name.strip_prefix(WRAPPER).unwrap_or(name),
            Self::SlowFast { .. } | Self::UniFormer => name,
        }
    }

    /// The name of a tensor that other code calls otherwise: without modules that wrap a layer in some code and not in other; TSM's own puts `net` between a block
    /// and what it shifts, `….layer1.0.conv1.net.weight` → `….layer1.0.conv1.weight`.
    pub fn unwrapped_name(self, tensor: &str) -> String {
        match self {
            Self::Tsm | Self::Tea => tensor.replace(".net.", "."),
            Self::SlowFast { .. } => {
                slowfast::of_caffe2(tensor).unwrap_or_else(|| tensor.to_owned())
            }
            Self::UniFormer => tensor.to_owned(),
        }
    }

    /// The block of an alteration, by the name of its parameter.
    pub fn altered_block(self, param: &str) -> Option<&str> {
        match self {
            Self::Tsm | Self::SlowFast { .. } | Self::UniFormer => {
                param.rsplit_once(".adaconv").map(|(block, _)| block)
            }
            Self::Tea => None,
        }
    }

    /// Whether a tensor belongs to what the architecture adds to its backbone, which a file of the backbone does not have: such parts
    /// begin with their initial values.
    pub fn is_addition(self, tensor: &str) -> bool {
        match self {
            Self::Tsm | Self::SlowFast { .. } | Self::UniFormer => false,
            Self::Tea => tensor.contains(".me.") || tensor.contains(".shifts."),
        }
    }

    /// Whether a tensor of a file is the optimiser's.
    pub fn is_of_optimizer(self, tensor: &str) -> bool {
        match self {
            Self::Tsm | Self::Tea | Self::UniFormer => false,
            Self::SlowFast { .. } => slowfast::is_of_optimizer(tensor),
        }
    }

    /// How many values along time a weight of images is repeated for, each divided by as many: kernels of clips begin as those of images.
    pub fn inflates(self, shape: &[usize], found: &[usize]) -> Option<usize> {
        let &[out, of_group, time, ref sizes @ ..] = shape else {
            return None;
        };
        let fits = found == [&[out, of_group], sizes].concat();
        match self {
            Self::UniFormer => (fits && sizes.len() == 2).then_some(time),
            Self::Tsm | Self::Tea | Self::SlowFast { .. } => None,
        }
    }

    /// Whether a name is of the classifier's parameters.
    pub fn is_classifier(self, param: &str) -> bool {
        match self {
            Self::Tsm | Self::Tea => param.starts_with("new_fc."),
            Self::SlowFast { .. } => param.starts_with("head.projection."),
            Self::UniFormer => param.starts_with("head."),
        }
    }

    /// Whether a name is of the classifier that the backbone had for another task.
    pub fn is_other_classifier(self, param: &str) -> bool {
        match self {
            Self::Tsm | Self::Tea => param.starts_with("fc."),
            Self::SlowFast { .. } | Self::UniFormer => false,
        }
    }

    /// Whether a parameter is the weight of the norm that ends a bottleneck's residual branch, or in TEA of one that is called as
    /// that is.
    pub fn is_third_norm(self, param: &str) -> bool {
        let name = self.vanilla_name(param);
        match self {
            Self::Tsm | Self::Tea => name.ends_with(".bn3.weight"),
            Self::SlowFast { .. } => name.ends_with(".c_bn.weight"),
            Self::UniFormer => false,
        }
    }

    /// Whether a node belongs to the stages that follow the stem.
    pub fn is_in_stage(self, node: &str) -> bool {
        match self {
            Self::Tsm | Self::Tea => self.short_name(node).starts_with("layer"),
            Self::SlowFast { .. } => node.contains("_res"),
            Self::UniFormer => node.starts_with("blocks"),
        }
    }
}

/// The official code's name of a network's backbone.
pub fn official_backbone(model: &Model) -> &'static str {
    let backbone = match model {
        Model::Tsm(tsm) => &tsm.backbone,
        Model::Tea(_) => return "res2net50_26w_4s",
        Model::SlowFast(_) => return "slowfast",
        Model::UniFormer(_) => return "uniformer",
    };
    match backbone {
        Backbone::ResNet18 => "resnet18",
        Backbone::ResNet34 => "resnet34",
        Backbone::ResNet50 => "resnet50",
        Backbone::ResNet101 => "resnet101",
        Backbone::ResNet(_) => "resnet",
    }
}

/// Stage and index of a block, for a figure's axis: `base_model.layer1.0` → `1.0`. The same in every architecture with blocks, so
/// that it can be told of a recorded analysis.
pub fn block_index(block: &str) -> &str {
    let index = |word| block.rsplit_once(word).map(|(_, index)| index);
    index("layer").or_else(|| index("blocks")).unwrap_or(block)
}

/// A norm's module without the branch behind its name.
fn shared(module: &str) -> &str {
    match module.rsplit_once('_') {
        Some((shared, frames)) if is_number(frames) => shared,
        Some(_) | None => module,
    }
}

/// As [`shared`]; of a norm in a list the branch stands behind the list's name: `….bns_8.2` → `….bns.2`.
fn shared_in_list(module: &str) -> String {
    match module.rsplit_once('.') {
        Some((list, index)) if is_number(index) => format!("{}.{index}", shared(list)),
        Some(_) | None => shared(module).to_owned(),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shift_modules_are_seen_through() {
        for (name, expected) in [
            (
                "base_model.layer1.0.conv1.net.weight",
                "base_model.layer1.0.conv1.weight",
            ),
            (
                "base_model.layer1.0.net.bn1.bias",
                "base_model.layer1.0.bn1.bias",
            ),
            ("base_model.conv1.weight", "base_model.conv1.weight"),
        ] {
            assert_eq!(Architecture::Tsm.unwrapped_name(name), expected);
        }
    }

    #[test]
    fn private_names_lead_to_vanilla_ones() {
        for (name, expected) in [
            (
                "base_model.bn1_16.running_mean",
                "base_model.bn1.running_mean",
            ),
            (
                "base_model.layer1.0.bn3_4.weight",
                "base_model.layer1.0.bn3.weight",
            ),
            (
                "base_model.layer2.0.downsample_conv.weight",
                "base_model.layer2.0.downsample.0.weight",
            ),
            (
                "base_model.layer2.0.downsample_bn_8.bias",
                "base_model.layer2.0.downsample.1.bias",
            ),
            (
                "base_model.layer2.0.downsample.1.bias",
                "base_model.layer2.0.downsample.1.bias",
            ),
            ("base_model.conv1.weight", "base_model.conv1.weight"),
            ("new_fc.weight", "new_fc.weight"),
        ] {
            for architecture in [Architecture::Tsm, Architecture::Tea] {
                assert_eq!(architecture.vanilla_name(name), expected);
            }
        }
        for (name, expected) in [
            (
                "base_model.layer1.0.bns_16.2.weight",
                "base_model.layer1.0.bns.2.weight",
            ),
            (
                "base_model.layer1.0.bns.2.weight",
                "base_model.layer1.0.bns.2.weight",
            ),
            (
                "base_model.layer1.0.me.bn3_8.bias",
                "base_model.layer1.0.me.bn3.bias",
            ),
            (
                "base_model.layer1.0.convs.1.weight",
                "base_model.layer1.0.convs.1.weight",
            ),
        ] {
            assert_eq!(Architecture::Tea.vanilla_name(name), expected);
        }
    }

    #[test]
    fn blocks_of_alterations() {
        let block = |name| Architecture::Tsm.altered_block(name);
        let name = "base_model.layer1.0.adaconv_4.weight";
        assert_eq!(block(name), Some("base_model.layer1.0"));
        assert_eq!(block("base_model.layer1.0.conv1.weight"), None);
        assert_eq!(block_index("base_model.layer1.0"), "1.0");
    }
}
