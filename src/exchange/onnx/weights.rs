//! The weights of a graph, and what of them is folded into a convolution.

use std::collections::BTreeMap;

use crate::base::{Error, Kind, Result};
use crate::exchange::write::{Entry, Values};
use crate::graph::op::NORM_EPSILON;
use crate::graph::{Graph, NormParams, ParamId};

/// Parameters and running statistics of a graph, by name.
pub struct Weights<'a> {
    graph: &'a Graph,
    by_name: BTreeMap<&'a str, &'a [f32]>,
}

/// A norm of one branch: y = weight·(x − mean) / sqrt(var + eps) + bias.
#[derive(Clone, Copy)]
pub struct Norm<'a> {
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    pub mean: &'a [f32],
    pub var: &'a [f32],
}

impl<'a> Weights<'a> {
    pub fn new(graph: &'a Graph, entries: &[Entry<'a>]) -> Self {
        let floats = entries.iter().filter_map(|entry| match entry.values {
            Values::Float32(values) => Some((entry.name, values)),
            Values::Int64(_) => None,
        });
        Self {
            graph,
            by_name: floats.collect(),
        }
    }

    pub fn param(&self, id: ParamId) -> Result<&'a [f32]> {
        let param = &self.graph.params[id];
        self.find(&param.name, param.count())
    }

    pub fn norm(&self, norm: NormParams) -> Result<Norm<'a>> {
        let stat = &self.graph.stats[norm.stat];
        let statistic = |kind: &str| self.find(&format!("{}.{kind}", stat.name), stat.channels);
        Ok(Norm {
            weight: self.param(norm.weight)?,
            bias: self.param(norm.bias)?,
            mean: statistic("running_mean")?,
            var: statistic("running_var")?,
        })
    }

    fn find(&self, name: &str, count: usize) -> Result<&'a [f32]> {
        match self.by_name.get(name) {
            Some(values) if values.len() == count => Ok(values),
            Some(values) => Err(Error::new(
                Kind::Run,
                format!(
                    "expected {count} values of `{name}`, found {}",
                    values.len()
                ),
            )),
            None => Err(Error::new(Kind::Run, format!("the weights lack `{name}`"))),
        }
    }
}

impl Norm<'_> {
    /// γ / sqrt(σ² + eps) of each channel.
    fn scales(&self) -> Vec<f64> {
        let channels = self.weight.iter().zip(self.var);
        channels
            .map(|(&weight, &var)| f64::from(weight) / (f64::from(var) + NORM_EPSILON).sqrt())
            .collect()
    }

    /// β − μ·s of each channel.
    fn offsets(&self, scales: &[f64]) -> Vec<f32> {
        let means = self.mean.iter().zip(scales);
        let offsets = self.bias.iter().zip(means);
        offsets
            .map(|(&bias, (&mean, scale))| (f64::from(bias) - f64::from(mean) * scale) as f32)
            .collect()
    }
}

/// A convolution's weight `[out, in, k, k]` and what stands around it.
pub struct Convolution<'a> {
    pub weight: &'a [f32],
    pub inputs: usize,
    /// k·k
    pub taps: usize,
    /// a of each input channel: the alteration in front of it.
    pub alteration: Option<&'a [f32]>,
    /// The norm behind it.
    pub norm: Option<Norm<'a>>,
}

impl Convolution<'_> {
    /// Weight and bias of the one convolution that does it all: w'[o, i] = w[o, i]·(1 + a[i])·s[o],
    /// b'[o] = β[o] − μ[o]·s[o], s = γ / sqrt(σ² + eps). Computed in float64 and rounded once.
    pub fn fold(&self) -> (Vec<f32>, Option<Vec<f32>>) {
        let scales = self.norm.map(|norm| norm.scales());
        let factor = |index: usize| {
            let (output, input) = (index / self.inputs, index % self.inputs);
            let scale = scales.as_ref().map_or(1.0, |scales| scales[output]);
            let altered = self.alteration.map_or(1.0, |a| 1.0 + f64::from(a[input]));
            altered * scale
        };
        let mut weight = self.weight.to_vec();
        for (index, taps) in weight.chunks_exact_mut(self.taps).enumerate() {
            let factor = factor(index);
            for value in taps {
                *value = (f64::from(*value) * factor) as f32;
            }
        }
        let bias = self.norm.zip(scales.as_ref());
        (weight, bias.map(|(norm, scales)| norm.offsets(scales)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_scales_inputs_and_outputs() {
        let convolution = Convolution {
            weight: &[1.0, 2.0, 3.0, 4.0],
            inputs: 2,
            taps: 1,
            alteration: Some(&[0.5, -1.0]),
            norm: Some(Norm {
                weight: &[2.0, 1.0],
                bias: &[0.25, 0.0],
                mean: &[1.0, -3.0],
                var: &[1.0 - NORM_EPSILON as f32, 4.0 - NORM_EPSILON as f32],
            }),
        };
        let (weight, bias) = convolution.fold();
        let close = |found: &[f32], expected: &[f32]| {
            found
                .iter()
                .zip(expected)
                .all(|(f, e)| (f - e).abs() < 1e-6)
        };
        assert!(close(&weight, &[3.0, 0.0, 2.25, 0.0]), "{weight:?}");
        assert!(close(&bias.clone().unwrap(), &[-1.75, 1.5]), "{bias:?}");
    }

    #[test]
    fn without_anything_around_it_a_weight_stays() {
        let convolution = Convolution {
            weight: &[1e-45, -0.0, f32::MAX],
            inputs: 1,
            taps: 1,
            alteration: None,
            norm: None,
        };
        let (weight, bias) = convolution.fold();
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&weight), bits(convolution.weight));
        assert_eq!(bias, None);
    }
}
