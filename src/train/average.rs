//! Averaged weights: a ← decay · a + (1 − decay) · w after each step, of every parameter and running statistic, in float32, from
//! the initial weights on (Polyak and Juditsky, 1992; timm's `ModelEmaV2`). Counters are those of the weights.

use crate::base::Result;
use crate::model::{Model, StateDict};
use crate::spec::Ema;

#[derive(Debug, Clone)]
pub struct Average {
    decay: f32,
    state: StateDict,
}

impl Average {
    /// The model's weights as they are.
    pub fn new(rule: Ema, model: &Model) -> Result<Self> {
        Ok(Self {
            decay: rule.decay as f32,
            state: model.state_dict()?,
        })
    }

    pub fn state(&self) -> &StateDict {
        &self.state
    }

    /// What [`Average::state`] was.
    pub fn load(&mut self, state: StateDict) {
        self.state = state;
    }

    /// After a step.
    pub fn follow(&mut self, model: &Model) -> Result<()> {
        let now = model.state_dict()?;
        for ((_, _, average), (_, _, values)) in self.state.floats.iter_mut().zip(&now.floats) {
            blend(self.decay, average, values);
        }
        self.state.counters = now.counters;
        Ok(())
    }
}

fn blend(decay: f32, average: &mut [f32], values: &[f32]) {
    let new = 1.0 - decay;
    for (average, value) in average.iter_mut().zip(values) {
        *average = decay * *average + new * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Between the two, and after many steps at a constant where that is.
        #[test]
        fn an_average_lies_between_and_arrives(decay in 0.0f32..0.9, from in -3.0f32..3.0, to in -3.0f32..3.0) {
            let mut average = [from];
            blend(decay, &mut average, &[to]);
            let (low, high) = (from.min(to) - 1e-5, from.max(to) + 1e-5);
            prop_assert!((low..=high).contains(&average[0]));
            (0..300).for_each(|_| blend(decay, &mut average, &[to]));
            prop_assert!((average[0] - to).abs() < 1e-4);
        }
    }
}
