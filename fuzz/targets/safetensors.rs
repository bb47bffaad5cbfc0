//! Any text as the header of a safetensors file, the first two bytes as the number of bytes behind it.
#![no_main]

use ffn::exchange::read::{parse, safetensors::contents};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((behind, header)) = data.split_first_chunk() else {
        return;
    };
    let behind = usize::from(u16::from_le_bytes(*behind));
    let length = (header.len() as u64).to_le_bytes();
    let file = [&length[..], header, &vec![0; behind]].concat();
    if let Ok(contents) = contents(&file) {
        let held = contents.tensors.iter().map(|(_, view)| view.data().len());
        assert_eq!(held.sum::<usize>(), behind);
    }
    if let Ok(read) = parse(&file) {
        for tensor in &read.tensors {
            tensor.floats();
        }
    }
});
