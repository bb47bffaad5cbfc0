//! Attention as two products of matrices and a softmax, over all pixels of a clip.

use super::super::builder::{Attribute, Call};
use super::Emitter;
use crate::base::Result;
use crate::graph::{Node, NodeId};
use crate::ops::{Attention, Shape};

impl Emitter<'_> {
    pub fn attention(&mut self, id: NodeId, node: &Node, op: &Attention) -> Result<()> {
        let from = &self.graph.nodes[node.inputs[0]];
        let x = self.image(node.inputs[0])?;
        let part = |part: &str| format!("{}.{part}", node.name);
        // Clips × (query, key, value) × heads × channels of a head × tokens.
        let [clips, first, heads] = ["clips", "channels_first", "heads"].map(part);
        self.clips(&clips, &x, from.extent());
        self.transpose(&first, &clips, &[0, 2, 1, 3, 4]);
        let width = node.shape.channels / op.heads;
        let sizes = [0, 3, op.heads as i64, width as i64, -1];
        let sizes = self.out.ints(&sizes);
        self.reshape(&heads, &first, &sizes);
        let [q, k, v] = ["query", "key", "value"].map(part);
        for (index, name) in [&q, &k, &v].into_iter().enumerate() {
            let index = self.out.int(index as i64);
            self.out.node(&Call {
                op: "Gather",
                name,
                inputs: &[&heads, &index],
                attributes: &[Attribute::Int("axis", 1)],
            });
        }
        let y = self.weighted(&node.name, [&q, &k, &v], op.scale as f32);
        self.back(id, node, &y)
    }

    /// softmax(scale·Q·Kᵀ)·V, of clips × heads × channels of a head × tokens each.
    fn weighted(&mut self, name: &str, [q, k, v]: [&str; 3], scale: f32) -> String {
        let part = |part: &str| format!("{name}.{part}");
        let [queries, scores, scale_name] = ["queries", "scores", "scale"].map(part);
        let [scaled, weights, values] = ["scaled", "weights", "values"].map(part);
        self.transpose(&queries, q, &[0, 1, 3, 2]);
        self.out.floats(&scale_name, &[1], &[scale]);
        self.transpose(&values, v, &[0, 1, 3, 2]);
        let y = part("tokens");
        let calls: [(&'static str, &str, Vec<&str>); 4] = [
            ("MatMul", &scores, vec![&queries, k]),
            ("Mul", &scaled, vec![&scores, &scale_name]),
            ("Softmax", &weights, vec![&scaled]),
            ("MatMul", &y, vec![&weights, &values]),
        ];
        self.out.chain(&calls);
        y
    }

    /// Clips × heads × tokens × channels of a head → images.
    fn back(&mut self, id: NodeId, node: &Node, y: &str) -> Result<()> {
        let part = |part: &str| format!("{}.{part}", node.name);
        let [turned, pixels, rows] = ["turned", "pixels", "rows_first"].map(part);
        let Shape {
            channels,
            height,
            width,
        } = node.shape;
        self.transpose(&turned, y, &[0, 1, 3, 2]);
        let sizes = [0, channels as i64, -1, height as i64, width as i64];
        let sizes = self.out.ints(&sizes);
        self.reshape(&pixels, &turned, &sizes);
        self.transpose(&rows, &pixels, &[0, 2, 1, 3, 4]);
        self.images(&node.name, &rows, node.extent());
        self.values[id] = Some(node.name.clone());
        Ok(())
    }
}
