//! A graph with its weights → an ONNX model of one branch, for evaluation.
//!
//! | | name | type | shape |
//! |---|---|---|---|
//! | input | `input` | float32 | clips × T × 3 × H × W: RGB frames, normalised as the experiment says |
//! | output | `logits` | float32 | clips × classes: averaged over the frames |
//!
//! The number of clips is open; T is a number, or open too ([`Frames`]). H and W are those of the evaluation.
//!
//! Batch norm and alteration are folded into the convolutions (`weights`). A norm that does not follow its
//! convolution directly (the shift "after the first convolution" stands between) stays a `BatchNormalization`. The
//! shift is `Slice`, `Pad` and `Concat`; a kernel along time is a `Conv` of clips between two `Transpose`; everything else is the
//! operator of its name. A value is called after the node of our graph that gives it, so that intermediate values can be compared
//! by name.
//!
//! Opset 17 and intermediate representation 8: the newest that ONNX Runtime 1.12 (2022) and later all read.

mod builder;
mod emit;
pub mod proto;
mod weights;

use prost::Message;

use self::proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};
use crate::base::{Error, Kind, Result};
use crate::exchange::write::{Entry, Notes};
use crate::graph::Graph;

pub const OPSET: i64 = 17;
pub const IR_VERSION: i64 = 8;
/// No reader of protocol buffers takes more.
const MAX_BYTES: usize = i32::MAX as usize;
pub const INPUT: &str = "input";
pub const OUTPUT: &str = "logits";

/// How many frames a clip has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frames {
    Fixed(usize),
    /// Whatever the input has.
    Any,
}

impl std::fmt::Display for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Frames::Fixed(frames) => write!(f, "{frames}"),
            Frames::Any => f.write_str("any"),
        }
    }
}

impl std::str::FromStr for Frames {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match (text, text.parse()) {
            ("any", _) => Ok(Frames::Any),
            (_, Ok(frames)) => Ok(Frames::Fixed(frames)),
            _ => Err("expected a number of frames, or `any`".to_owned()),
        }
    }
}

/// What is exported.
pub struct Export<'a> {
    /// For the reader of the model.
    pub name: &'a str,
    /// At the size of the evaluation.
    pub graph: &'a Graph,
    /// Every parameter and running statistic of the graph.
    pub entries: &'a [Entry<'a>],
    /// Index of the branch whose private parts are taken.
    pub branch: usize,
    pub frames: Frames,
    pub notes: &'a Notes,
}

/// The file's bytes. Fails where the weights are not those of the graph, there is no such branch, or the model has 2 GiB.
pub fn encode(export: &Export<'_>) -> Result<Vec<u8>> {
    let model = model(export)?;
    match model.encoded_len() {
        ..=MAX_BYTES => Ok(model.encode_to_vec()),
        bytes => Err(Error::new(
            Kind::Run,
            format!("the model has {bytes} bytes, and an ONNX file at most {MAX_BYTES}"),
        )
        .hint("the other formats hold more")),
    }
}

/// The model as messages.
pub fn model(export: &Export<'_>) -> Result<ModelProto> {
    if export.branch >= export.graph.branches.len() {
        let message = format!("there is no branch number {}", export.branch);
        return Err(Error::new(Kind::Usage, message));
    }
    let notes = export.notes.iter();
    let notes = notes.map(|(key, value)| StringStringEntryProto {
        key: key.clone(),
        value: value.clone(),
    });
    Ok(ModelProto {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: export.name.to_owned(),
        graph: Some(emit::graph(export)?),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
        metadata_props: notes.collect(),
    })
}
