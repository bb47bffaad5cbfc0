//! The run folder: manifest, metrics, provenance, verify.
