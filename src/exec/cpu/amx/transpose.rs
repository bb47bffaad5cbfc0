//! 16 × 16 words, rows to columns.

/// A square of 32-bit words.
pub type Square = [[u32; 16]; 16];

/// The square with row i as column i.
pub fn transposed(square: &Square) -> Square {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has the instructions.
        return unsafe { by_shuffles(square) };
    }
    by_words(square)
}

fn by_words(square: &Square) -> Square {
    let mut to = [[0; 16]; 16];
    for (i, row) in square.iter().enumerate() {
        for (j, word) in row.iter().enumerate() {
            to[j][i] = *word;
        }
    }
    to
}

/// In four rounds: neighbouring words, then pairs of them, then quarters of rows, twice.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn by_shuffles(square: &Square) -> Square {
    use std::arch::x86_64::*;
    use std::mem::transmute;
    // SAFETY: rows and vectors are 512 bits each, of which all patterns are values.
    let rows: [__m512i; 16] = unsafe { transmute(*square) };
    let mut words = [_mm512_setzero_si512(); 16];
    for i in 0..8 {
        words[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        words[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    // pairs[4g + c]: column c of each quarter, rows 4g to 4g + 3.
    let mut pairs = [_mm512_setzero_si512(); 16];
    for i in (0..16).step_by(4) {
        pairs[i] = _mm512_unpacklo_epi64(words[i], words[i + 2]);
        pairs[i + 1] = _mm512_unpackhi_epi64(words[i], words[i + 2]);
        pairs[i + 2] = _mm512_unpacklo_epi64(words[i + 1], words[i + 3]);
        pairs[i + 3] = _mm512_unpackhi_epi64(words[i + 1], words[i + 3]);
    }
    let mut to = [_mm512_setzero_si512(); 16];
    for c in 0..4 {
        let [a, b, d, e] = [pairs[c], pairs[4 + c], pairs[8 + c], pairs[12 + c]];
        // Quarters 0 and 2, then 1 and 3, of rows 0 to 7 and of rows 8 to 15.
        let first = _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b);
        let second = _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b);
        let third = _mm512_shuffle_i32x4::<0b10_00_10_00>(d, e);
        let fourth = _mm512_shuffle_i32x4::<0b11_01_11_01>(d, e);
        to[c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(first, third);
        to[4 + c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(second, fourth);
        to[8 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(first, third);
        to[12 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(second, fourth);
    }
    // SAFETY: as above.
    unsafe { transmute(to) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffles_move_words_as_a_loop_does() {
        let mut square = [[0; 16]; 16];
        for (i, row) in square.iter_mut().enumerate() {
            for (j, word) in row.iter_mut().enumerate() {
                *word = (16 * i + j) as u32;
            }
        }
        assert_eq!(transposed(&square), by_words(&square));
        assert_eq!(transposed(&square)[3][5], square[5][3]);
    }
}
