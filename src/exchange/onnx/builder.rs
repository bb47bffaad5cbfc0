//! A graph of ONNX while it grows: nodes, constants, shapes.

use std::collections::BTreeSet;

use super::proto::{
    AttributeProto, AttributeType, DataType, Dimension, GraphProto, NodeProto, Size, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// The attribute of a node.
pub enum Attribute<'a> {
    Int(&'static str, i64),
    Ints(&'static str, &'a [usize]),
    Float(&'static str, f64),
}

/// A node with one output, which has the node's name.
pub struct Call<'a> {
    pub op: &'static str,
    pub name: &'a str,
    pub inputs: &'a [&'a str],
    pub attributes: &'a [Attribute<'a>],
}

#[derive(Default)]
pub struct Builder {
    pub graph: GraphProto,
    constants: BTreeSet<String>,
}

impl Builder {
    pub fn node(&mut self, call: &Call<'_>) {
        self.graph.node.push(NodeProto {
            input: call.inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![call.name.to_owned()],
            name: call.name.to_owned(),
            op_type: call.op.to_owned(),
            attribute: call.attributes.iter().map(attribute).collect(),
        });
    }

    /// Nodes without attributes, in order: what each computes, its name, what it reads.
    pub fn chain(&mut self, calls: &[(&'static str, &str, Vec<&str>)]) {
        for (op, name, inputs) in calls {
            self.node(&Call {
                op,
                name,
                inputs,
                attributes: &[],
            });
        }
    }

    /// Says what shape a value has.
    pub fn describe(&mut self, name: &str, shape: Vec<Size>) {
        self.graph.value_info.push(value(name, shape, ""));
    }

    pub fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        self.graph.initializer.push(TensorProto {
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type: DataType::Float.into(),
            name: name.to_owned(),
            raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        });
    }

    /// The name of one integer that is no list.
    pub fn int(&mut self, value: i64) -> String {
        let name = value.to_string();
        self.integers(&name, Vec::new(), &[value]);
        name
    }

    /// The name of a list of integers, which is there once however often it is used.
    pub fn ints(&mut self, values: &[i64]) -> String {
        let name = format!("{values:?}").replace(' ', "");
        self.integers(&name, vec![values.len() as i64], values);
        name
    }

    fn integers(&mut self, name: &str, dims: Vec<i64>, values: &[i64]) {
        if self.constants.insert(name.to_owned()) {
            self.graph.initializer.push(TensorProto {
                dims,
                data_type: DataType::Int64.into(),
                name: name.to_owned(),
                raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            });
        }
    }
}

/// A float tensor that goes in or out.
pub fn value(name: &str, shape: Vec<Size>, doc: &str) -> ValueInfoProto {
    let dimension = |size| Dimension { value: Some(size) };
    let tensor = TensorTypeProto {
        elem_type: DataType::Float.into(),
        shape: Some(TensorShapeProto {
            dim: shape.into_iter().map(dimension).collect(),
        }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(tensor),
        }),
        doc_string: doc.to_owned(),
    }
}

fn attribute(attribute: &Attribute<'_>) -> AttributeProto {
    let (name, kind) = match attribute {
        Attribute::Int(name, _) => (name, AttributeType::Int),
        Attribute::Ints(name, _) => (name, AttributeType::Ints),
        Attribute::Float(name, _) => (name, AttributeType::Float),
    };
    let mut proto = AttributeProto {
        name: (*name).to_owned(),
        r#type: kind.into(),
        ..AttributeProto::default()
    };
    match attribute {
        Attribute::Int(_, value) => proto.i = Some(*value),
        Attribute::Ints(_, values) => proto.ints = values.iter().map(|&v| v as i64).collect(),
        Attribute::Float(_, value) => proto.f = Some(*value as f32),
    }
    proto
}
