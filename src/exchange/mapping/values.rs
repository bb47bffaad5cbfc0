//! The values that a mapping takes out of a file.

use std::collections::BTreeMap;

use super::{Mapping, Role};
use crate::base::{Error, Kind, Result};
use crate::exchange::read::{Dtype, Floats, Tensor};

impl Mapping<'_> {
    /// The values of every tensor that the file gives. NaN and infinity are an error that names the tensors, unless
    /// they are allowed: no logit that such a model computes means anything, so nobody wants them without knowing.
    pub fn load(&self, allow_non_finite: bool) -> Result<Loaded> {
        let mut sources: BTreeMap<&str, Floats> = BTreeMap::new();
        let mut loaded = Loaded::default();
        for row in &self.rows {
            let Some(source) = row.source else { continue };
            if row.wanted.role == Role::Counter {
                let count = source.integer().and_then(|n| u64::try_from(n).ok());
                let counter = (row.wanted.name.clone(), count.unwrap_or_default());
                loaded.counters.push(counter);
                continue;
            }
            if !sources.contains_key(source.key.as_str()) {
                let floats = source.floats().unwrap_or_default();
                loaded.count(source, &floats);
                sources.insert(&source.key, floats);
            }
            let values = sources.get(source.key.as_str());
            let architecture = self.prefix.architecture();
            let time = architecture.inflates(&row.wanted.shape, &source.shape);
            let values = values.map(|floats| match time {
                Some(time) => inflated(&floats.values, &row.wanted.shape, time),
                None => floats.values.clone(),
            });
            let (name, shape) = (row.wanted.name.clone(), row.wanted.shape.clone());
            loaded
                .floats
                .push((name, shape, values.unwrap_or_default()));
        }
        match loaded.not_finite.is_empty() || allow_non_finite {
            true => Ok(loaded),
            false => Err(not_finite(&loaded.not_finite)),
        }
    }
}

/// The values of a mapping, in the order of its rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loaded {
    /// Name, shape, values in row-major order.
    pub floats: Vec<(String, Vec<usize>, Vec<f32>)>,
    pub counters: Vec<(String, u64)>,
    /// What came from each type but float32.
    pub conversions: BTreeMap<&'static str, Conversion>,
    /// Keys of the file with values that are NaN or infinite.
    pub not_finite: Vec<NotFinite>,
}

/// What became of the tensors of one type.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Conversion {
    pub tensors: usize,
    pub values: usize,
    /// Values that no float32 equals: the nearest was taken.
    pub rounded: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NotFinite {
    pub key: String,
    pub values: usize,
    pub of: usize,
    /// Those of them that are finite in the file, and too large for float32.
    pub overflowed: usize,
}

impl Loaded {
    fn count(&mut self, source: &Tensor, floats: &Floats) {
        if source.dtype != Dtype::Float32 {
            let conversion = self.conversions.entry(source.dtype.name()).or_default();
            conversion.tensors += 1;
            conversion.values += floats.values.len();
            conversion.rounded += floats.rounded;
        }
        if floats.not_finite > 0 {
            self.not_finite.push(NotFinite {
                key: source.key.clone(),
                values: floats.not_finite,
                of: floats.values.len(),
                overflowed: floats.overflowed,
            });
        }
    }
}

/// A weight of images, `[out, in, height, width]`, as one of clips: the same at each of `time` rows, divided by as many.
fn inflated(values: &[f32], shape: &[usize], time: usize) -> Vec<f32> {
    let image: usize = shape.iter().skip(3).product();
    let images = values.chunks_exact(image.max(1));
    let scaled = images.flat_map(|image| std::iter::repeat_n(image, time).flatten());
    scaled.map(|value| value / time as f32).collect()
}

fn not_finite(tensors: &[NotFinite]) -> Error {
    let line = |tensor: &NotFinite| {
        let NotFinite {
            key,
            values,
            of,
            overflowed,
        } = tensor;
        let beyond = match overflowed {
            0 => String::new(),
            n => format!(", {n} of them beyond the range of float32"),
        };
        format!("\n  {key}: {values} of {of}{beyond}")
    };
    let lines: String = tensors.iter().map(line).collect();
    Error::new(
        Kind::Data,
        format!("values that are NaN or infinite:{lines}"),
    )
}
