//! A stream of PPM images, as `ffmpeg` writes it.

use std::io::{BufRead, Read};

/// An image whose header was read, and whose bytes were not.
pub struct Next {
    pub width: u32,
    pub height: u32,
}

impl Next {
    fn bytes(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * 3
    }

    /// Passes over the image without holding it.
    pub fn skip(self, from: &mut impl BufRead) -> Result<(), String> {
        let mut left = self.bytes();
        while left > 0 {
            let here = from.fill_buf().map_err(|e| e.to_string())?.len();
            if here == 0 {
                return Err(CUT_SHORT.to_owned());
            }
            let passed = left.min(here as u64);
            from.consume(passed as usize);
            left -= passed;
        }
        Ok(())
    }

    /// Fills `rgb`, which is as long as the image.
    pub fn read(self, from: &mut impl Read, rgb: &mut [u8]) -> Result<(), String> {
        from.read_exact(rgb).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => CUT_SHORT.to_owned(),
            _ => e.to_string(),
        })
    }
}

const CUT_SHORT: &str = "its output ends within an image";
const OTHER: &str = "its output is not the expected PPM";

/// The next image's header; `None` at the end.
pub fn header(from: &mut impl BufRead) -> Result<Option<Next>, String> {
    if from.fill_buf().map_err(|e| e.to_string())?.is_empty() {
        return Ok(None);
    }
    if word(from)? != "P6" {
        return Err(OTHER.to_owned());
    }
    let mut number = || word(from)?.parse::<u32>().map_err(|_| OTHER.to_owned());
    let (width, height, largest) = (number()?, number()?, number()?);
    match (width, height, largest) {
        (1.., 1.., 255) => Ok(Some(Next { width, height })),
        _ => Err(format!(
            "its output has an image of {width}x{height} pixels with values up to {largest}, expected 255"
        )),
    }
}

/// The next word of a header, and the one white space behind it.
fn word(from: &mut impl Read) -> Result<String, String> {
    const LONGEST: usize = 16;
    let mut word = String::new();
    let mut byte = [0];
    while word.len() < LONGEST {
        from.read_exact(&mut byte)
            .map_err(|_| "its output ends within a header".to_owned())?;
        match byte[0] {
            b' ' | b'\n' => return Ok(word),
            byte => word.push(char::from(byte)),
        }
    }
    Err(OTHER.to_owned())
}
