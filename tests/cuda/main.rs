//! CUDA, as far as it can be held to anything without a card.

mod devices;
mod emulated;
