//! What ranks must have in common to compute one thing.

use serde::{Deserialize, Serialize};

use super::wire::Writer;
use crate::base::rng::fnv1a;
use crate::base::{Result, Shown};
use crate::exec::Executor;
use crate::model::Model;
use crate::run::manifest::DataIdentity;
use crate::run::provenance::{Build, Machine};

/// What must be the same on all ranks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circumstances {
    identity: String,
    source_sha256: String,
    data: DataIdentity,
    device_class: String,
    /// Of work on weights that are there: which.
    weights: Option<u64>,
}

impl Circumstances {
    pub fn of(identity: String, data: DataIdentity, executor: Executor) -> Self {
        Self {
            identity,
            source_sha256: Build::this().source_sha256,
            data,
            device_class: Machine::with(executor.device).device_class,
            weights: None,
        }
    }

    /// With the weights that are worked on.
    pub fn with(self, model: &Model) -> Result<Self> {
        let state = model.state_dict()?;
        let mut bits = Writer::default();
        bits.each(&state.floats, |to, (_, _, values)| to.floats(values));
        Ok(Self {
            weights: Some(fnv1a(&bits.0)),
            ..self
        })
    }

    /// The first thing in which another rank differs.
    pub(super) fn apart(&self, other: &Self) -> Option<String> {
        let differs = |what: &str, own: &str, others: &str| {
            (own != others).then(|| {
                format!(
                    "its {what} is {}, and that of rank 0 {}",
                    others.shown(),
                    own.shown()
                )
            })
        };
        differs("experiment", &self.identity, &other.identity)
            .or_else(|| differs("build", &self.source_sha256, &other.source_sha256))
            .or_else(|| differs("device class", &self.device_class, &other.device_class))
            .or_else(|| {
                (self.data != other.data).then(|| "its data are not those of rank 0".into())
            })
            .or_else(|| {
                let is_other = self.weights != other.weights;
                is_other.then(|| "its weights are not those of rank 0".into())
            })
    }
}
