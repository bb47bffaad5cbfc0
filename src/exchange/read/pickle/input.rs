//! The bytes of a pickle, never read beyond their end.

use super::{Result, fault};

pub struct Input<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub fn position(&self) -> usize {
        self.position
    }

    /// The next operation; `None` at STOP.
    pub fn operation(&mut self) -> Result<Option<u8>> {
        match self.array()? {
            [b'.'] => Ok(None),
            [op] => Ok(Some(op)),
        }
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = rest
            .get(..count)
            .ok_or_else(|| fault(format!("{count} bytes expected, {} left", rest.len())))?;
        self.position += count;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take(N)?;
        // `take` gives as many as asked for.
        bytes.try_into().map_err(|_| fault("the pickle ends early"))
    }

    /// A little-endian number of `width` bytes, at most 8.
    pub fn size(&mut self, width: usize) -> Result<usize> {
        let bytes = self.take(width)?;
        let number = bytes.iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b));
        usize::try_from(number).map_err(|_| fault(format!("a length of {number}")))
    }

    /// Bytes after their number, which has `width` bytes.
    pub fn sized(&mut self, width: usize) -> Result<&'a [u8]> {
        let count = self.size(width)?;
        self.take(count)
    }

    /// Bytes up to the end of their line.
    pub fn line_bytes(&mut self) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let length = rest.iter().position(|&b| b == b'\n');
        let line = self.take(length.ok_or_else(|| fault("a line without end"))?)?;
        self.position += 1;
        Ok(line)
    }

    /// Text up to the end of its line.
    pub fn line(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.line_bytes()?).map_err(|_| fault("a line that is not UTF-8"))
    }
}
