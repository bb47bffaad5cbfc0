//! Graph → fused steps over planned buffers, forward and backward.
