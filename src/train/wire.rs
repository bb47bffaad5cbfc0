//! What ranks say to one another, as bytes: numbers in little endian, floating point by its bits, so that nothing is rounded.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::sum::{Node, Sum};
use crate::base::{Error, Kind, Result};
use crate::exec::Statistics;
use crate::run::results::Prediction;

/// Writes a message.
#[derive(Default)]
pub struct Writer(pub Vec<u8>);

/// Reads what a [`Writer`] wrote, in its order.
pub struct Reader<'a>(pub &'a [u8]);

fn broken() -> Error {
    Error::new(Kind::Device, "a rank said what cannot be understood")
}

impl Writer {
    pub fn number(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    pub fn count(&mut self, value: usize) {
        self.number(value as u64);
    }

    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend(bytes);
    }

    /// By its bits.
    pub fn real(&mut self, value: f64) {
        self.number(value.to_bits());
    }

    pub fn floats(&mut self, values: &[f32]) {
        self.count(values.len());
        self.0.reserve(4 * values.len());
        values
            .iter()
            .for_each(|value| self.0.extend(value.to_le_bytes()));
    }

    pub fn each<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.count(items.len());
        items.iter().for_each(|item| write(self, item));
    }

    pub fn tensors(&mut self, tensors: &[Vec<f32>]) {
        self.each(tensors, |to, values| to.floats(values));
    }

    /// What has no floating point that must be exact.
    pub fn json(&mut self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(value)
            .map_err(|error| Error::new(Kind::Device, format!("cannot write as JSON: {error}")))?;
        self.text(&text);
        Ok(())
    }
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(broken)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn number(&mut self) -> Result<u64> {
        let bytes = self.take(8)?.try_into().map_err(|_| broken())?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub fn count(&mut self) -> Result<usize> {
        usize::try_from(self.number()?).map_err(|_| broken())
    }

    pub fn text(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?).map_err(|_| broken())
    }

    pub fn bytes(&mut self) -> Result<Vec<u8>> {
        let count = self.count()?;
        self.take(count).map(<[u8]>::to_vec)
    }

    pub fn real(&mut self) -> Result<f64> {
        self.number().map(f64::from_bits)
    }

    pub fn floats(&mut self) -> Result<Vec<f32>> {
        let count = self.count()?.checked_mul(4).ok_or_else(broken)?;
        let chunks = self.take(count)?.as_chunks().0.iter();
        Ok(chunks.map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    pub fn each<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let count = self.count()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    pub fn tensors(&mut self) -> Result<Vec<Vec<f32>>> {
        self.each(Self::floats)
    }

    pub fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        serde_json::from_str(&self.text()?).map_err(|_| broken())
    }
}

pub fn write_statistics(to: &mut Writer, statistics: &Statistics) {
    to.tensors(&statistics.mean);
    to.tensors(&statistics.var);
    to.each(&statistics.batches, |to, &count| to.number(count));
}

pub fn read_statistics(from: &mut Reader<'_>) -> Result<Statistics> {
    Ok(Statistics {
        mean: from.tensors()?,
        var: from.tensors()?,
        batches: from.each(Reader::number)?,
    })
}

pub fn write_sum(to: &mut Writer, sum: &Sum) {
    to.tensors(&sum.gradients);
    let statistics: Vec<_> = sum.statistics.iter().collect();
    to.each(&statistics, |to, (statistics, count)| {
        write_statistics(to, statistics);
        to.count(*count);
    });
    to.each(&sum.losses, |to, (name, loss)| {
        to.text(name);
        to.real(*loss);
    });
    to.each(&sum.right, |to, &right| to.number(right));
    to.each(&sum.ids, |to, id| to.text(id));
    to.each(&sum.skipped, |to, (id, reason)| {
        to.text(id);
        to.text(reason);
    });
}

pub fn read_sum(from: &mut Reader<'_>) -> Result<Sum> {
    Ok(Sum {
        gradients: from.tensors()?,
        statistics: from
            .each(|from| Ok((read_statistics(from)?, from.count()?)))?
            .pop(),
        losses: from.each(|from| Ok((from.text()?, from.real()?)))?,
        right: from.each(Reader::number)?,
        ids: from.each(Reader::text)?,
        skipped: from.each(|from| Ok((from.text()?, from.text()?)))?,
    })
}

pub fn write_nodes(to: &mut Writer, nodes: &[Node<Sum>]) {
    to.each(nodes, |to, node| {
        to.count(node.first);
        to.count(node.count);
        write_sum(to, &node.sum);
    });
}

pub fn read_nodes(from: &mut Reader<'_>) -> Result<Vec<Node<Sum>>> {
    from.each(|from| {
        Ok(Node {
            first: from.count()?,
            count: from.count()?,
            sum: read_sum(from)?,
        })
    })
}

/// Predictions with each clip's loss.
pub fn write_predictions(to: &mut Writer, predictions: &[(Prediction, f64)]) {
    to.each(predictions, |to, (prediction, loss)| {
        to.text(&prediction.id);
        [prediction.label, prediction.predicted, prediction.rank]
            .into_iter()
            .for_each(|number| to.count(number));
        to.real(prediction.probability);
        to.each(&prediction.top, |to, (class, probability)| {
            to.count(*class);
            to.real(*probability);
        });
        to.real(*loss);
    });
}

pub fn read_predictions(from: &mut Reader<'_>) -> Result<Vec<(Prediction, f64)>> {
    from.each(|from| {
        let id = from.text()?;
        let (label, predicted, rank) = (from.count()?, from.count()?, from.count()?);
        let prediction = Prediction {
            id,
            label,
            predicted,
            probability: from.real()?,
            rank,
            top: from.each(|from| Ok((from.count()?, from.real()?)))?,
        };
        Ok((prediction, from.real()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum() -> Sum {
        Sum {
            gradients: vec![vec![1.5, -0.0, f32::MIN_POSITIVE], vec![]],
            statistics: Some((
                Statistics {
                    mean: vec![vec![0.1]],
                    var: vec![vec![2.0]],
                    batches: vec![3],
                },
                2,
            )),
            losses: vec![("total".into(), 0.1 + 0.2), ("kl.4".into(), f64::NAN)],
            right: vec![4, 0],
            ids: vec!["a b".into()],
            skipped: vec![("c".into(), "damaged".into())],
        }
    }

    #[test]
    fn sums_come_back_bit_for_bit() {
        let node = Node {
            first: 4,
            count: 2,
            sum: sum(),
        };
        let mut writer = Writer::default();
        write_nodes(&mut writer, &[node]);
        let mut reader = Reader(&writer.0);
        let nodes = read_nodes(&mut reader).unwrap();
        assert!(reader.0.is_empty());
        assert_eq!((nodes[0].first, nodes[0].count), (4, 2));
        // NaN is not equal to itself: bits are.
        let mut again = Writer::default();
        write_nodes(&mut again, &nodes);
        assert!(again.0 == writer.0);
    }

    #[test]
    fn a_message_that_is_cut_is_an_error() {
        let mut writer = Writer::default();
        write_sum(&mut writer, &sum());
        for length in 0..writer.0.len() {
            assert!(read_sum(&mut Reader(&writer.0[..length])).is_err());
        }
        let mut huge = Writer::default();
        huge.number(u64::MAX);
        assert!(Reader(&huge.0).floats().is_err());
        assert!(Reader(&huge.0).text().is_err());
    }
}
