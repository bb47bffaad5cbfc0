//! The weights of a graph, and what of them is folded into a convolution.

use std::collections::BTreeMap;

use crate::base::{Error, Kind, Result};
use crate::exchange::write::{Entry, Values};
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
    pub eps: f64,
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

    pub fn norm(&self, norm: NormParams, eps: f64) -> Result<Norm<'a>> {
        let stat = &self.graph.stats[norm.stat];
        let statistic = |kind: &str| self.find(&format!("{}.{kind}", stat.name), stat.channels);
        Ok(Norm {
            weight: self.param(norm.weight)?,
            bias: self.param(norm.bias)?,
            mean: statistic("running_mean")?,
            var: statistic("running_var")?,
            eps,
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
            .map(|(&weight, &var)| f64::from(weight) / (f64::from(var) + self.eps).sqrt())
            .collect()
    }

    /// β + (b − μ)·s of each channel, b the bias of the convolution before it.
    fn offsets(&self, scales: &[f64], bias: Option<&[f32]>) -> Vec<f32> {
        let offset = |(channel, scale): (usize, &f64)| {
            let before = bias.map_or(0.0, |bias| f64::from(bias[channel]));
            let centred = before - f64::from(self.mean[channel]);
            (f64::from(self.bias[channel]) + centred * scale) as f32
        };
        scales.iter().enumerate().map(offset).collect()
    }
}

/// A convolution's weight `[out, in / groups, …]` and what stands around it.
pub struct Convolution<'a> {
    pub weight: &'a [f32],
    pub bias: Option<&'a [f32]>,
    pub inputs: usize,
    pub outputs: usize,
    pub groups: usize,
    /// Values of a kernel.
    pub taps: usize,
    /// a of each input channel: the alteration in front of it.
    pub alteration: Option<&'a [f32]>,
    /// The norm behind it.
    pub norm: Option<Norm<'a>>,
}

impl Convolution<'_> {
    /// Weight and bias of the one convolution that does it all: w'[o, i] = w[o, i]·(1 + a[i])·s[o],
    /// b'[o] = β[o] + (b[o] − μ[o])·s[o], s = γ / sqrt(σ² + eps). Computed in float64 and rounded once.
    pub fn fold(&self) -> (Vec<f32>, Option<Vec<f32>>) {
        let scales = self.norm.map(|norm| norm.scales());
        let (of_input, of_output) = (self.inputs / self.groups, self.outputs / self.groups);
        let factor = |index: usize| {
            let (output, input) = (index / of_input, index % of_input);
            let input = output / of_output * of_input + input;
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
        let bias = match self.norm.zip(scales.as_ref()) {
            Some((norm, scales)) => Some(norm.offsets(scales, self.bias)),
            None => self.bias.map(<[f32]>::to_vec),
        };
        (weight, bias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_scales_inputs_and_outputs() {
        let convolution = Convolution {
            weight: &[1.0, 2.0, 3.0, 4.0],
            bias: None,
            inputs: 2,
            outputs: 2,
            groups: 1,
            taps: 1,
            alteration: Some(&[0.5, -1.0]),
            norm: Some(Norm {
                weight: &[2.0, 1.0],
                bias: &[0.25, 0.0],
                mean: &[1.0, -3.0],
                var: &[0.5, 3.5],
                eps: 0.5,
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
            bias: None,
            inputs: 1,
            outputs: 3,
            groups: 1,
            taps: 1,
            alteration: None,
            norm: None,
        };
        let (weight, bias) = convolution.fold();
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&weight), bits(convolution.weight));
        assert_eq!(bias, None);
    }
    /// An output's inputs are those of its own group; the bias passes the norm.
    #[test]
    fn folding_in_groups_with_a_bias() {
        let convolution = Convolution {
            weight: &[1.0, 2.0, 3.0, 4.0],
            bias: Some(&[1.0, 2.0]),
            inputs: 4,
            outputs: 2,
            groups: 2,
            taps: 1,
            alteration: Some(&[0.0, 1.0, 2.0, 3.0]),
            norm: Some(Norm {
                weight: &[2.0, 1.0],
                bias: &[0.5, 0.25],
                mean: &[0.5, 4.0],
                var: &[0.0, 3.0],
                eps: 1.0,
            }),
        };
        let (weight, bias) = convolution.fold();
        assert_eq!(weight, [2.0, 8.0, 4.5, 8.0]);
        assert_eq!(bias, Some(vec![1.5, -0.75]));
    }
}
