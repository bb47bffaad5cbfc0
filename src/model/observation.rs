//! Outputs of single nodes, for whoever looks inside a model: golden bundles and `ffn why`.

use crate::graph::{Graph, NodeId};
use crate::ops::Rate;
use crate::program::Segment;

/// What a node gave for one segment of the last pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The node's name in the graph.
    pub node: String,
    /// Frame count of the segment; 0 for what belongs to none, such as a gradient.
    pub frames: usize,
    /// `[clips·rows, channels, height, width]`, as in PyTorch; `[clips, classes]` for the logits.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

/// Cuts a node's output over a ragged batch (NHWC, segments one after another) into one observation a segment.
pub fn split(
    graph: &Graph,
    segments: &[Segment],
    node: NodeId,
    values: &[f32],
) -> Vec<Observation> {
    let of = &graph.nodes[node];
    let per_clip = of.rate == Rate::Clip && of.shape.pixels() == 1;
    let mut rest = values;
    let observation = |segment: &Segment| {
        let images = segment.clips * of.rate.rows(segment.frames);
        let (own, tail) = rest.split_at(images * of.shape.count());
        rest = tail;
        let (channels, pixels) = (of.shape.channels, of.shape.pixels());
        let shape = match per_clip {
            true => vec![images, channels],
            false => vec![images, channels, of.shape.height, of.shape.width],
        };
        Observation {
            node: of.name.clone(),
            frames: segment.frames,
            shape,
            values: channels_first(own, channels, pixels),
        }
    };
    segments.iter().map(observation).collect()
}

/// NHWC → NCHW, for images of `pixels` pixels.
fn channels_first(values: &[f32], channels: usize, pixels: usize) -> Vec<f32> {
    let images = values.chunks_exact(channels * pixels);
    let planes = images.flat_map(|image| {
        (0..channels).flat_map(move |c| image.iter().skip(c).step_by(channels).copied())
    });
    planes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_follow_one_another() {
        // Two images of two pixels and three channels.
        let values: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let planes = [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11].map(|v| v as f32);
        assert_eq!(channels_first(&values, 3, 2), planes);
    }
}
