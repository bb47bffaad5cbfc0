//! The update of SGD with momentum. Each device computes it where the parameters are; what the numbers of an update are is the
//! optimiser's (`train/optimizer.rs`).

/// The numbers of one update, of every parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    pub momentum: f32,
    /// The factor by which gradients are clipped.
    pub scale: f32,
    /// For each parameter in the graph's order; those of frozen ones are not read.
    pub rates: Vec<Rates>,
}

/// Learning rate and weight decay of one parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    pub rate: f32,
    pub decay: f32,
}

impl Update {
    /// Updates parameter `index` from its gradient:
    ///
    /// ```text
    /// v ← momentum·v + (scale·g + decay·p)
    /// p ← p − rate·v
    /// ```
    ///
    /// Elementwise, each operation rounded to float32: every device gives the same bits.
    pub fn apply(&self, index: usize, gradient: &[f32], velocity: &mut [f32], values: &mut [f32]) {
        let Some(&Rates { rate, decay }) = self.rates.get(index) else {
            return;
        };
        let Self {
            momentum, scale, ..
        } = *self;
        for ((p, v), g) in values.iter_mut().zip(velocity).zip(gradient) {
            *v = momentum * *v + (g * scale + decay * *p);
            *p -= rate * *v;
        }
    }
}
