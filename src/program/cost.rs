//! What a step costs at least: the two floors that its time is held against.
//!
//! Multiply-adds count those of the products that the network's definition asks for; bytes count every buffer that the
//! step reads or writes once, and the parameters it packs. A step takes at least the larger of
//! multiply-adds / (multiply-adds a second) and bytes / (bytes a second), unless it needs fewer multiply-adds than the
//! definition: Winograd's algorithm needs 16 of 36.

/// The least that a step asks of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Cost {
    pub multiply_adds: u64,
    pub bytes: u64,
}
