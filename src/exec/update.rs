//! The optimisers' updates. Each device computes them where the parameters are; what the numbers of an update are is the
//! optimiser's (`train/optimizer.rs`).

/// The numbers of one update, of every parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    pub rule: Rule,
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

/// How a parameter follows its gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// ```text
    /// d ← scale·g + decay·p
    /// v ← momentum·v + d
    /// p ← p − rate·v        or of Nesterov  p ← p − rate·(d + momentum·v)
    /// ```
    Sgd { momentum: f32, nesterov: bool },
    /// With the corrections of step t, as PyTorch computes it (Loshchilov and Hutter, 2019):
    ///
    /// ```text
    /// g ← scale·g
    /// p ← p·(1 − rate·decay)
    /// m ← m + (1 − β₁)·(g − m)
    /// v ← β₂·v + (1 − β₂)·g²
    /// p ← p − (rate / (1 − β₁ᵗ))·m / (√v / √(1 − β₂ᵗ) + eps)
    /// ```
    AdamW(AdamW),
}

/// The numbers of one step of AdamW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// 1 − β₁
    pub new1: f32,
    pub beta2: f32,
    /// 1 − β₂
    pub new2: f32,
    pub eps: f32,
    /// 1 / (1 − β₁ᵗ).
    pub correction1: f32,
    /// √(1 − β₂ᵗ).
    pub correction2: f32,
}

impl Rule {
    /// How many moments it keeps of each parameter: v, or m and v.
    pub fn moments(self) -> usize {
        match self {
            Self::Sgd { .. } => 1,
            Self::AdamW(_) => 2,
        }
    }
}

impl Update {
    /// Updates parameter `index` from its gradient. `moments`: as many as the rule keeps, each as long as the parameter.
    ///
    /// Elementwise, each operation rounded to float32: every device gives the same bits.
    pub fn apply(
        &self,
        index: usize,
        gradient: &[f32],
        moments: &mut [Vec<f32>],
        values: &mut [f32],
    ) {
        let Some(&Rates { rate, decay }) = self.rates.get(index) else {
            return;
        };
        match (self.rule, moments) {
            (Rule::Sgd { momentum, nesterov }, [velocity]) => {
                for ((p, v), g) in values.iter_mut().zip(velocity).zip(gradient) {
                    let change = g * self.scale + decay * *p;
                    *v = momentum * *v + change;
                    *p -= rate * if nesterov { change + momentum * *v } else { *v };
                }
            }
            (Rule::AdamW(adam), [first, second]) => {
                let kept = 1.0 - rate * decay;
                let rate = rate * adam.correction1;
                let moments = first.iter_mut().zip(second);
                for ((p, (m, v)), g) in values.iter_mut().zip(moments).zip(gradient) {
                    let g = g * self.scale;
                    *p *= kept;
                    *m += adam.new1 * (g - *m);
                    *v = adam.beta2 * *v + adam.new2 * (g * g);
                    *p -= rate * *m / (v.sqrt() / adam.correction2 + adam.eps);
                }
            }
            (Rule::Sgd { .. } | Rule::AdamW(_), _) => {}
        }
    }
}
