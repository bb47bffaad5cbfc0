//! An experiment in one line.

use super::experiment::*;

impl Experiment {
    /// Method, network, data and length of training, for a person.
    pub fn summary(&self) -> String {
        let data = match &self.data {
            Data::Miniature(_) => "miniature",
            data => data.root_name(),
        };
        format!(
            "{}, {}, {data} ({} classes), {} epochs of {} clips a step",
            self.method.summary(),
            self.model.summary(),
            self.data.class_count(),
            self.train.epochs,
            self.train.batch,
        )
    }
}

impl Method {
    fn summary(&self) -> String {
        match self {
            Method::Vanilla { frames } => format!("vanilla at {frames} frames"),
            Method::Ffn(ffn) => {
                let frames: Vec<String> = ffn.frames.iter().map(usize::to_string).collect();
                format!("FFN at {} frames", frames.join("/"))
            }
        }
    }
}

impl Model {
    /// Of the architecture, as papers call it.
    pub fn name(&self) -> &'static str {
        match self {
            Model::Tsm(tsm) => tsm.name(),
            Model::Tea(_) => "TEA",
            Model::SlowFast(_) => "SlowFast",
            Model::UniFormer(_) => "UniFormer",
        }
    }

    fn summary(&self) -> String {
        match self {
            Model::Tsm(tsm) => tsm.summary(),
            Model::Tea(tea) => tea.backbone.summary(),
            Model::SlowFast(slowfast) => slowfast.summary(),
            Model::UniFormer(uniformer) => uniformer.summary(),
        }
    }
}

impl Res2Net {
    fn summary(&self) -> String {
        format!(
            "TEA on a Res2Net of {} blocks, {}w{}s, {} planes",
            self.blocks.iter().sum::<usize>(),
            self.width,
            self.scale,
            self.planes
        )
    }
}

impl SlowFast {
    fn summary(&self) -> String {
        format!(
            "SlowFast of {} blocks, width {}, alpha {}, beta {}",
            self.blocks.iter().sum::<usize>(),
            self.width,
            self.alpha,
            self.beta
        )
    }
}

impl UniFormer {
    fn summary(&self) -> String {
        let widths: Vec<String> = self.widths.iter().map(usize::to_string).collect();
        format!(
            "UniFormer of {} blocks, widths {}",
            self.depths.iter().sum::<usize>(),
            widths.join("/")
        )
    }
}

impl Tsm {
    fn name(&self) -> &'static str {
        match self.shift.place {
            ShiftPlace::Nowhere => "TSN",
            _ => "TSM",
        }
    }

    fn summary(&self) -> String {
        let kind = self.name();
        match &self.backbone {
            Backbone::ResNet(resnet) => format!(
                "{kind} on a ResNet of {} {} blocks, width {}",
                resnet.blocks.iter().sum::<usize>(),
                match resnet.block {
                    Block::Basic => "basic",
                    Block::Bottleneck => "bottleneck",
                },
                resnet.width
            ),
            named => format!("{kind} on {named:?}"),
        }
    }
}
