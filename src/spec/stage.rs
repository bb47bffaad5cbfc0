//! The stages of a run, by which `ffn why` walks from cause to effect and each setting says where it acts.

use serde::Serialize;

/// A stage of a run, in the order in which one leads to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The fields of the two experiments.
    Experiment,
    /// What made the two runs: engine, precision, builds, machines. They may explain a difference; they are none.
    Circumstances,
    /// Pins: classes, counts and hashes of the data.
    Data,
    /// Which clips a step sees, in order.
    SampleOrder,
    FrameIndices,
    /// Crop, flip and label of each clip.
    Augmentation,
    /// What is left of the videos after decoding, cropping and flipping, in bytes.
    Pixels,
    /// What the clips of a step are once they are mixed with one another, and their targets.
    Mixing,
    /// Parameters and running statistics before step 0.
    InitialWeights,
    /// The output of each node of the graph, in its order.
    Activations,
    Loss,
    /// Before clipping.
    Gradients,
    /// Learning rate, decay and momentum of each parameter, and the factor of the clipping.
    Optimizer,
    /// Parameters and running statistics after the step.
    Update,
    /// The learning rate of every step of the training.
    Schedule,
    EvaluationFrames,
    EvaluationPixels,
    EvaluationLogits,
    /// The rest is what two runs left behind.
    RecordedWeights,
    RecordedMetrics,
    RecordedCheckpoints,
    RecordedPredictions,
    /// Only against a golden bundle: the names and shapes of its tensors.
    Bundle,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Stage::Experiment => "experiment",
            Stage::Circumstances => "circumstances",
            Stage::Data => "data",
            Stage::SampleOrder => "sample order",
            Stage::FrameIndices => "frame indices",
            Stage::Augmentation => "augmentation",
            Stage::Pixels => "pixels",
            Stage::Mixing => "mixing",
            Stage::InitialWeights => "initial weights",
            Stage::Activations => "activations",
            Stage::Loss => "loss",
            Stage::Gradients => "gradients",
            Stage::Optimizer => "optimizer",
            Stage::Update => "update",
            Stage::Schedule => "schedule",
            Stage::EvaluationFrames => "evaluation frames",
            Stage::EvaluationPixels => "evaluation pixels",
            Stage::EvaluationLogits => "evaluation logits",
            Stage::RecordedWeights => "recorded weights",
            Stage::RecordedMetrics => "recorded metrics",
            Stage::RecordedCheckpoints => "recorded checkpoints",
            Stage::RecordedPredictions => "recorded predictions",
            Stage::Bundle => "bundle",
        }
    }

    /// Whether it is what the two were made from; the others are what came of it.
    pub fn is_cause(self) -> bool {
        self <= Stage::Data
    }
}
