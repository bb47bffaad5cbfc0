//! Contact sheets: rows of images as one image, for a person to look at.

use super::resize::Region;
use super::resize::resize;
use super::video::Image;

/// Height and width of each image on the sheet.
const TILE: usize = 112;
/// Pixels between images.
const GAP: usize = 2;
const GROUND: u8 = 24;

/// Square images, row by row; a row may be shorter than the others.
pub fn contact_sheet(rows: &[Vec<Image>]) -> Image {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let along = |tiles: usize| GAP + tiles * (TILE + GAP);
    let (width, height) = (along(columns), along(rows.len()));
    let mut rgb = vec![GROUND; width * height * 3];
    for (row, images) in rows.iter().enumerate() {
        for (column, image) in images.iter().enumerate() {
            let whole = Region::whole(image.width, image.height);
            let tile = resize(image, whole, (TILE, TILE), Region::whole(TILE, TILE));
            for (line, pixels) in tile.rgb.chunks_exact(TILE * 3).enumerate() {
                let start = ((along(row) + line) * width + along(column)) * 3;
                rgb[start..start + pixels.len()].copy_from_slice(pixels);
            }
        }
    }
    Image { width, height, rgb }
}

/// The square images of `size` that lie one after another in `pixels`.
pub fn images(pixels: &[u8], size: usize) -> Vec<Image> {
    let image = |rgb: &[u8]| Image {
        width: size,
        height: size,
        rgb: rgb.to_vec(),
    };
    pixels
        .chunks_exact((size * size * 3).max(1))
        .map(image)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_lie_in_rows() {
        let [red, blue] = [[200, 0, 0], [0, 0, 200]].map(|colour| Image {
            width: 4,
            height: 4,
            rgb: colour.repeat(16),
        });
        let sheet = contact_sheet(&[vec![red.clone(), blue], vec![red]]);
        assert_eq!((sheet.width, sheet.height), (230, 230));
        let pixel = |x: usize, y: usize| &sheet.rgb[(y * 230 + x) * 3..][..3];
        assert_eq!(pixel(50, 50), [200, 0, 0]);
        assert_eq!(pixel(170, 50), [0, 0, 200]);
        assert_eq!(pixel(50, 170), [200, 0, 0]);
        assert_eq!(pixel(170, 170), [GROUND; 3]);
        assert_eq!(pixel(0, 0), [GROUND; 3]);
    }

    #[test]
    fn pixels_are_cut_into_images() {
        let cut = images(&[7; 2 * 3 * 3 * 3], 3);
        assert_eq!(cut.len(), 2);
        assert_eq!((cut[0].width, cut[1].rgb.len()), (3, 27));
    }
}
