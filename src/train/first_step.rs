//! How long a process takes until its first step is done, and with what.

use std::time::{Duration, Instant};

/// The time so far; everything but what the step itself tells.
#[derive(Debug, Clone, Copy)]
pub struct FirstStep {
    /// What came before: files read, data held against their pins.
    opened: Duration,
    begun: Instant,
    /// Model, checkpoint, engines and packed weights.
    built: Duration,
}

impl FirstStep {
    pub fn after(opened: Duration) -> Self {
        Self {
            opened,
            begun: Instant::now(),
            built: Duration::ZERO,
        }
    }

    /// Everything is built.
    pub fn built(&mut self) {
        self.built = self.begun.elapsed();
    }

    /// After the step, which took `step` seconds, of them `waited` for its batch.
    pub fn describe(&self, step: f64, waited: f64) -> String {
        let (opened, built) = (self.opened.as_secs_f64(), self.built.as_secs_f64());
        let total = opened + self.begun.elapsed().as_secs_f64();
        format!(
            "first step after {total:.2} s: files and pins {opened:.2} s, model and engines {built:.2} s, first batch {waited:.2} s, step {:.2} s",
            step - waited
        )
    }
}
