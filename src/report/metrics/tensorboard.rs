//! TensorBoard's event files: records of serialised `Event` messages, framed and check-summed as TensorFlow's TFRecord.
//!
//! ```text
//! record = length: u64, masked crc32c of the length: u32, message, masked crc32c of the message: u32   (little endian)
//! mask(crc) = rotate_right(crc, 15) + 0xa282ead8
//! ```
//!
//! A scalar is a tensor of one float32 for the plugin `scalars`, as TensorFlow 2 writes it: TensorBoard's fast loader shows no other
//! dtype, and says nothing of it. Records are in the order of steps, so that the file of a longer training begins with that of a
//! shorter one: TensorBoard reads on where it was.

use prost::Message;

use super::Files;
use super::series::{Point, Series};
use crate::report::escape;

/// One event file in a folder of the run's name, which TensorBoard shows as the run.
pub fn files(series: &Series) -> Files {
    let mut bytes = record(&Event {
        wall_time: series.started,
        file_version: Some("brain.Event:2".to_owned()),
        ..Event::default()
    });
    let mut described = std::collections::BTreeSet::new();
    let mut points: Vec<&Point> = series.points.iter().collect();
    points.sort_by_key(|point| point.step);
    for point in points {
        // The first value of a tag says which plugin shows it.
        let first = described.insert(point.tag.as_str());
        bytes.extend(record(&event(point, first)));
    }
    let start = series.started as u64;
    let name = format!(
        "{}/events.out.tfevents.{start:010}.ffn",
        escape::file_name(&series.run)
    );
    Files::from([(name.into(), bytes)])
}

fn event(point: &Point, first: bool) -> Event {
    let metadata = SummaryMetadata {
        plugin_data: Some(PluginData {
            plugin_name: "scalars".to_owned(),
        }),
        data_class: DATA_CLASS_SCALAR,
    };
    let value = Value {
        tag: point.tag.clone(),
        tensor: Some(Tensor {
            dtype: DT_FLOAT,
            shape: Some(Shape {}),
            float_val: vec![point.value as f32],
        }),
        metadata: first.then_some(metadata),
    };
    Event {
        wall_time: point.wall_time,
        step: point.step as i64,
        file_version: None,
        summary: Some(Summary { value: vec![value] }),
    }
}

fn record(event: &Event) -> Vec<u8> {
    let message = event.encode_to_vec();
    let length = (message.len() as u64).to_le_bytes();
    let parts = [
        &length[..],
        &masked(&length).to_le_bytes(),
        &message,
        &masked(&message).to_le_bytes(),
    ];
    parts.concat()
}

fn masked(bytes: &[u8]) -> u32 {
    let crc = crc32c::crc32c(bytes);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

const DT_FLOAT: i32 = 1;
const DATA_CLASS_SCALAR: i32 = 1;

/// `tensorboard.Event`, as far as it is written.
#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(message, optional, tag = "8")]
    tensor: Option<Tensor>,
    #[prost(message, optional, tag = "9")]
    metadata: Option<SummaryMetadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SummaryMetadata {
    #[prost(message, optional, tag = "1")]
    plugin_data: Option<PluginData>,
    #[prost(int32, tag = "4")]
    data_class: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PluginData {
    #[prost(string, tag = "1")]
    plugin_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Tensor {
    #[prost(int32, tag = "1")]
    dtype: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
    #[prost(float, repeated, tag = "5")]
    float_val: Vec<f32>,
}

/// Of a scalar: no dimension.
#[derive(Clone, PartialEq, prost::Message)]
struct Shape {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of RFC 3720 and the mask of TensorFlow's documentation.
    #[test]
    fn checksums_are_masked_crc32c() {
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(
            masked(&[0; 32]),
            0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8)
        );
    }

    #[test]
    fn a_record_reads_back() {
        let point = Point {
            tag: "train/loss".into(),
            step: 3,
            wall_time: 1.5,
            value: 1.0 / 3.0,
        };
        let bytes = record(&event(&point, true));
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        assert_eq!(bytes.len(), 8 + 4 + length + 4);
        let read = Event::decode(&bytes[12..12 + length]).unwrap();
        assert_eq!(read, event(&point, true));
    }
}
