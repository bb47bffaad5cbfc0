//! Any bytes as the pickle in a checkpoint: PyTorch's legacy format, which has no checksum that a change would break,
//! with one storage of 64 values.
#![no_main]

use ffn::exchange::read::parse;
use libfuzzer_sys::fuzz_target;

const MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
const PROTOCOL: &[u8] = b"\x80\x02M\xe9\x03.";
const SYSTEM: &[u8] = b"\x80\x02}.";
const KEYS: &[u8] = b"\x80\x02]X\x01\0\0\x000a.";

fuzz_target!(|data: &[u8]| {
    let count = 64u64.to_le_bytes();
    let file = [MAGIC, PROTOCOL, SYSTEM, data, KEYS, &count, &[0; 512]].concat();
    if let Ok(read) = parse(&file) {
        for tensor in &read.tensors {
            tensor.floats();
        }
    }
});
