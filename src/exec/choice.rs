//! Which engine computes in mixed precision on this machine: the one that multiplies fastest, measured once and kept.

use std::path::PathBuf;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::cpu::{processor, speed};
use super::{EngineKind, Numerics};
use crate::base::{files, limits};

/// A 16-bit engine has to be so many times as fast as float32 to be taken: less is within what measurements stray.
const MARGIN: f64 = 1.05;

/// What was measured on a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Of machine and program: of others the rates say nothing.
    key: String,
    /// Multiply-adds a second of one thread.
    rates: Vec<Rate>,
}

/// How fast an engine multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    pub engine: EngineKind,
    /// Multiply-adds a second of one thread, on the convolutions of a block of ResNet-50's third stage.
    pub multiply_adds: f64,
}

impl Measured {
    /// This machine's: measured once in a process, and not again where the user's cache folder remembers.
    pub fn here() -> &'static Self {
        static HERE: OnceLock<Measured> = OnceLock::new();
        HERE.get_or_init(|| {
            let key = key();
            remembered()
                .filter(|measured| measured.key == key)
                .unwrap_or_else(|| Self::now(key))
        })
    }

    /// Measures, and remembers if it can: nothing but time is lost if it cannot.
    fn now(key: String) -> Self {
        let rates = speed::measure().into_iter();
        let rates = rates.map(|(numerics, multiply_adds)| Rate {
            engine: engine(numerics),
            multiply_adds,
        });
        let measured = Self {
            key,
            rates: rates.collect(),
        };
        if let (Some(path), Ok(text)) = (path(), serde_json::to_string_pretty(&measured)) {
            let _ = files::write_atomic(&path, text.as_bytes());
        }
        measured
    }

    pub fn rates(&self) -> &[Rate] {
        &self.rates
    }

    /// The engine of mixed precision: never one that is slower than float32.
    pub fn mixed(&self) -> EngineKind {
        let of = |engine: EngineKind| self.rates.iter().find(|rate| rate.engine == engine);
        let float32 = of(EngineKind::Compiled).map_or(0.0, |rate| rate.multiply_adds);
        let faster = |rate: &&Rate| {
            rate.engine != EngineKind::Compiled && rate.multiply_adds >= MARGIN * float32
        };
        let fastest = self.rates.iter().filter(faster);
        let fastest = fastest.max_by(|a, b| a.multiply_adds.total_cmp(&b.multiply_adds));
        fastest.map_or(EngineKind::Compiled, |rate| rate.engine)
    }

    /// A sentence: the rates in GFLOP/s, two operations for each multiply-add, and what follows from them.
    pub fn describe(&self) -> String {
        let rate = |rate: &Rate| {
            let gigaflops = 2.0 * rate.multiply_adds / 1e9;
            format!("{gigaflops:.0} GFLOP/s by `{}`", rate.engine.name())
        };
        let rates: Vec<_> = self.rates.iter().map(rate).collect();
        format!(
            "one thread multiplies at {}: `precision: Mixed` takes `{}`",
            rates.join(", "),
            self.mixed().name()
        )
    }
}

fn engine(numerics: Numerics) -> EngineKind {
    match numerics {
        Numerics::Float32 => EngineKind::Compiled,
        Numerics::Bf16 => EngineKind::CompiledBf16,
        Numerics::Bf16Amx => EngineKind::CompiledAmx,
    }
}

fn key() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{}, {cores} cores, {}, ffn {}",
        processor::name(),
        processor::class(),
        env!("FFN_SOURCE_SHA256")
    )
}

fn path() -> Option<PathBuf> {
    Some(files::cache_folder().ok()?.join("multiply.json"))
}

/// A file that cannot be read is as none.
fn remembered() -> Option<Measured> {
    let text = files::read_text(&path()?, limits::SETTINGS).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(rates: &[(EngineKind, f64)]) -> Measured {
        let rates = rates.iter().map(|&(engine, multiply_adds)| Rate {
            engine,
            multiply_adds,
        });
        Measured {
            key: String::new(),
            rates: rates.collect(),
        }
    }

    #[test]
    fn mixed_takes_the_fastest_and_none_that_is_slower_than_float32() {
        use EngineKind::{Compiled, CompiledAmx, CompiledBf16};
        let cases: [(&[(EngineKind, f64)], EngineKind); 5] = [
            (&[(Compiled, 5e10), (CompiledBf16, 4e10)], Compiled),
            (&[(Compiled, 5e10), (CompiledBf16, 5.1e10)], Compiled),
            (&[(Compiled, 5e10), (CompiledBf16, 9e10)], CompiledBf16),
            (
                &[(Compiled, 5e10), (CompiledBf16, 4e10), (CompiledAmx, 4e11)],
                CompiledAmx,
            ),
            (&[], Compiled),
        ];
        for (rates, expected) in cases {
            assert_eq!(measured(rates).mixed(), expected, "{rates:?}");
        }
    }

    #[test]
    fn a_sentence_tells_what_was_measured() {
        let rates = [
            (EngineKind::Compiled, 5e10),
            (EngineKind::CompiledAmx, 4e11),
        ];
        assert_eq!(
            measured(&rates).describe(),
            "one thread multiplies at 100 GFLOP/s by `compiled`, 800 GFLOP/s by `compiled-amx`: `precision: Mixed` takes `compiled-amx`"
        );
    }
}
