//! The start of a VP9 frame header, as far as it is needed before a frame is decoded: whether the frame is shown,
//! how large it is, what its colours mean (VP9 bitstream specification 0.6, sections 6.2 and 7.2).
//!
//! The decoder reads headers, too, but allocates as they tell it, and keeps colour range to itself.

use super::MAX_PIXELS;

/// What the samples of a stream mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Colour {
    pub space: Space,
    /// Samples use all their values instead of 16–235 (luma) and 16–240 (chroma).
    pub full_range: bool,
}

/// The matrix between Y'CbCr and R'G'B'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Space {
    /// Also what is taken where the stream declares none, as libswscale does.
    #[default]
    Bt601,
    Bt709,
    Smpte240,
    Bt2020,
    /// Green, blue, red planes.
    Rgb,
}

/// A frame of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub shown: bool,
    /// Nothing that was sent before it is needed to decode it, or what follows it: it fills every slot, and resets
    /// every probability and segment.
    pub key: bool,
    /// It is none of its own, but shows what was decoded before.
    pub repeated: bool,
    pub image: Image,
}

/// A decoded frame, as a slot holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// The number of coded frames before it.
    pub number: usize,
    pub width: u32,
    pub height: u32,
}

impl Image {
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }
}

/// What is wrong with a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderError {
    Damaged(String),
    TooLarge { width: u32, height: u32 },
}

/// Reads the headers of a stream in order: a frame may take its size from one of eight earlier ones.
#[derive(Debug, Default)]
pub struct Headers {
    slots: [Option<Image>; 8],
    /// Frames coded so far.
    coded: usize,
    colour: Colour,
    full_chroma: bool,
}

impl Headers {
    /// The colours that the last header declared.
    pub fn colour(&self) -> Colour {
        self.colour
    }

    /// Whether there may be as many chroma samples as luma samples; in profiles 0 and 2 there is a quarter.
    pub fn full_chroma(&self) -> bool {
        self.full_chroma
    }

    /// What the slots hold, each image once.
    pub fn held(&self) -> impl Iterator<Item = &Image> {
        let earlier = |index: usize| self.slots.iter().take(index).flatten();
        let slots = self.slots.iter().enumerate();
        slots.filter_map(move |(index, slot)| {
            let image = slot.as_ref()?;
            let is_new = earlier(index).all(|other| other.number != image.number);
            is_new.then_some(image)
        })
    }

    /// The next frame. `data` is one frame, not a superframe.
    pub fn frame(&mut self, data: &[u8]) -> Result<Frame, HeaderError> {
        let mut bits = Bits { data, position: 0 };
        if bits.read(2)? != 2 {
            return Err(damaged("it does not start with VP9's frame marker"));
        }
        let profile = bits.read(1)? | bits.read(1)? << 1;
        if profile == 3 && bits.flag()? {
            return Err(damaged("a profile above 3"));
        }
        self.full_chroma |= profile % 2 == 1;
        let repeated = bits.flag()?;
        if repeated {
            let slot = bits.read(3)? as usize;
            return Ok(Frame {
                shown: true,
                key: false,
                repeated,
                image: self.stored(slot)?,
            });
        }
        let inter = bits.flag()?;
        let shown = bits.flag()?;
        let error_resilient = bits.flag()?;
        let image = match inter {
            false => self.key(&mut bits, profile)?,
            true => self.predicted(&mut bits, profile, shown, error_resilient)?,
        };
        self.coded += 1;
        Ok(Frame {
            shown,
            key: !inter,
            repeated,
            image,
        })
    }

    fn key(&mut self, bits: &mut Bits, profile: u32) -> Result<Image, HeaderError> {
        self.sync_code(bits)?;
        self.read_colour(bits, profile)?;
        self.sized(bits, 0xff)
    }

    fn predicted(
        &mut self,
        bits: &mut Bits,
        profile: u32,
        shown: bool,
        error_resilient: bool,
    ) -> Result<Image, HeaderError> {
        let intra_only = !shown && bits.flag()?;
        if !error_resilient {
            bits.read(2)?;
        }
        if !intra_only {
            return self.inter(bits);
        }
        self.sync_code(bits)?;
        if profile > 0 {
            self.read_colour(bits, profile)?;
        }
        let refreshed = bits.read(8)?;
        self.sized(bits, refreshed)
    }

    /// A frame predicted from three slots: its size is explicit or that of the first slot it marks.
    fn inter(&mut self, bits: &mut Bits) -> Result<Image, HeaderError> {
        let refreshed = bits.read(8)?;
        let mut references = [0; 3];
        for reference in &mut references {
            *reference = bits.read(3)? as usize;
            bits.read(1)?;
        }
        for reference in references {
            self.stored(reference)?;
        }
        for reference in references {
            if bits.flag()? {
                let image = self.stored(reference)?;
                return Ok(self.store(image.size(), refreshed));
            }
        }
        self.sized(bits, refreshed)
    }

    fn stored(&self, slot: usize) -> Result<Image, HeaderError> {
        let image = self.slots.get(slot).copied().flatten();
        image.ok_or_else(|| damaged("it refers to a frame that was never sent"))
    }

    /// Puts the frame that is being read into the slots that it refreshes.
    fn store(&mut self, (width, height): (u32, u32), refreshed: u32) -> Image {
        let image = Image {
            number: self.coded,
            width,
            height,
        };
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if refreshed >> index & 1 == 1 {
                *slot = Some(image);
            }
        }
        image
    }

    fn sized(&mut self, bits: &mut Bits, refreshed: u32) -> Result<Image, HeaderError> {
        let width = bits.read(16)? + 1;
        let height = bits.read(16)? + 1;
        match u64::from(width) * u64::from(height) > MAX_PIXELS {
            true => Err(HeaderError::TooLarge { width, height }),
            false => Ok(self.store((width, height), refreshed)),
        }
    }

    fn sync_code(&self, bits: &mut Bits) -> Result<(), HeaderError> {
        match bits.read(24)? {
            0x49_8342 => Ok(()),
            code => Err(damaged(format!("sync code {code:06x}, expected 498342"))),
        }
    }

    fn read_colour(&mut self, bits: &mut Bits, profile: u32) -> Result<(), HeaderError> {
        if profile >= 2 {
            bits.read(1)?;
        }
        let space = bits.read(3)?;
        self.colour = match space {
            7 => Colour {
                space: Space::Rgb,
                full_range: true,
            },
            _ => Colour {
                space: match space {
                    2 => Space::Bt709,
                    4 => Space::Smpte240,
                    5 => Space::Bt2020,
                    _ => Space::Bt601,
                },
                full_range: bits.flag()?,
            },
        };
        if profile == 1 || profile == 3 {
            bits.read(if space == 7 { 1 } else { 3 })?;
        }
        Ok(())
    }
}

/// Splits a packet into its frames: a superframe ends in an index of their sizes (Annex B of the specification).
pub fn superframe(packet: &[u8]) -> Result<Vec<&[u8]>, HeaderError> {
    let marker = match packet.last() {
        Some(last) if last & 0xe0 == 0xc0 => *last,
        Some(_) => return Ok(vec![packet]),
        None => return Err(damaged("an empty packet")),
    };
    let count = usize::from(marker & 7) + 1;
    let width = usize::from(marker >> 3 & 3) + 1;
    let index_length = 2 + count * width;
    let Some(index_start) = packet.len().checked_sub(index_length) else {
        return Ok(vec![packet]);
    };
    if packet[index_start] != marker {
        return Ok(vec![packet]);
    }
    let sizes = packet[index_start + 1..packet.len() - 1].chunks_exact(width);
    let mut rest = &packet[..index_start];
    let mut frames = Vec::with_capacity(count);
    for size in sizes {
        let size = size
            .iter()
            .rev()
            .fold(0, |size, byte| size << 8 | usize::from(*byte));
        let (frame, behind) = rest
            .split_at_checked(size)
            .ok_or_else(|| damaged("a superframe whose index reaches behind its end"))?;
        if !frame.is_empty() {
            frames.push(frame);
        }
        rest = behind;
    }
    match frames.is_empty() {
        true => Err(damaged("a superframe without frames")),
        false => Ok(frames),
    }
}

fn damaged(what: impl Into<String>) -> HeaderError {
    HeaderError::Damaged(what.into())
}

/// Bits from the most significant on.
struct Bits<'a> {
    data: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    fn read(&mut self, count: usize) -> Result<u32, HeaderError> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self
                .data
                .get(self.position / 8)
                .ok_or_else(|| damaged("it ends too early"))?;
            value = value << 1 | u32::from(byte >> (7 - self.position % 8) & 1);
            self.position += 1;
        }
        Ok(value)
    }

    fn flag(&mut self) -> Result<bool, HeaderError> {
        Ok(self.read(1)? == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn superframes_are_split_by_their_index() {
        // The marker's bits: 110, bytes a size less one, frames less one. Two frames of 3 and 1 bytes.
        let marker = 0b1100_0001;
        let packet = [10, 11, 12, 20, marker, 3, 1, marker];
        assert_eq!(superframe(&packet).unwrap(), [&[10, 11, 12][..], &[20]]);
        // Two bytes a size, little-endian.
        let marker = 0b1100_1000;
        let packet = [10, 11, marker, 2, 0, marker];
        assert_eq!(superframe(&packet).unwrap(), [&[10, 11][..]]);
        // Without the marker at both ends it is one frame.
        assert_eq!(
            superframe(&[1, 2, 0b1100_0001]).unwrap(),
            [&[1, 2, 0b1100_0001][..]]
        );
    }

    #[test]
    fn superframes_that_lie_are_refused() {
        let marker = 0b1100_0001;
        assert!(superframe(&[]).is_err());
        assert!(superframe(&[10, marker, 9, 9, marker]).is_err());
        assert!(superframe(&[marker, 0, 0, marker]).is_err());
    }

    #[test]
    fn a_frame_without_its_references_is_refused() {
        // Marker, profile 0, inter, shown, not error resilient; then slots that nobody filled.
        let inter = [0b1000_0110, 0, 0, 0, 0, 0];
        let error = Headers::default().frame(&inter).unwrap_err();
        assert_eq!(error, damaged("it refers to a frame that was never sent"));
    }
}
