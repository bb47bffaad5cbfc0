//! Cases, comparison, tolerance.
