//! What a frame folder holds: which numbers, and which images besides.

use std::path::Path;

use super::template::Template;
use super::{VideoError, unreadable};
use crate::base::{Shown, files};

/// Endings of images that are decoded.
const ENDINGS: [&str; 3] = ["jpg", "jpeg", "png"];

/// The images of a frame folder, by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    template: Template,
    /// Numbers of the images that the template names, ascending.
    numbers: Vec<usize>,
    /// Images that it does not name: the shortest name first, so that of numbers without leading zeros the smallest is.
    others: Vec<String>,
}

impl Inventory {
    /// Reads the folder once. Whether its entries are regular files is seen when they are opened.
    pub fn of(folder: &Path, template: &Template) -> Result<Self, VideoError> {
        let folder = template.folder(folder);
        let entries = std::fs::read_dir(folder).map_err(unreadable)?;
        let (mut numbers, mut others) = (Vec::new(), Vec::new());
        for entry in entries {
            let name = entry.map_err(unreadable)?.file_name();
            let name = name.to_string_lossy();
            match template.number(&name) {
                Some(number) => numbers.push(number),
                None if is_image(&name) => others.push(name.into_owned()),
                None => {}
            }
        }
        numbers.sort_unstable();
        others.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        Ok(Self {
            template: template.clone(),
            numbers,
            others,
        })
    }

    /// How many images there are from `first` on, where none of them is missing and none lies before.
    pub fn count_from(&self, first: usize) -> Result<usize, VideoError> {
        match self.missing(first, self.numbers.len()) {
            None if !self.numbers.is_empty() => Ok(self.numbers.len()),
            _ => Err(VideoError::Numbering(self.explain(first))),
        }
    }

    /// The first number that is not there of `first .. first + count`.
    pub fn missing(&self, first: usize, count: usize) -> Option<usize> {
        let start = self.numbers.partition_point(|number| *number < first);
        let there = self.numbers.get(start..).unwrap_or_default();
        let wanted = first..first.saturating_add(count);
        wanted
            .zip(there.iter().map(Some).chain(std::iter::repeat(None)))
            .find_map(|(wanted, found)| (found != Some(&wanted)).then_some(wanted))
    }

    /// Images that the template names, outside of `first .. first + count`.
    pub fn surplus(&self, first: usize, count: usize) -> usize {
        let end = first.saturating_add(count);
        let start = self.numbers.partition_point(|number| *number < first);
        start + self.numbers.len() - self.numbers.partition_point(|number| *number < end)
    }

    /// Why not all images are there that are counted from `first` on: the names that were expected, and what there is.
    pub fn explain(&self, first: usize) -> String {
        let number = self.missing(first, usize::MAX).unwrap_or(first);
        let wanted = self.template.name(number);
        let (Some(lowest), Some(highest)) = (self.numbers.first(), self.numbers.last()) else {
            return match self.other_naming() {
                None => format!("there is no image in it; `{wanted}` is expected"),
                Some(naming) => format!("`{wanted}` is not there, but {naming}"),
            };
        };
        let count = self.numbers.len();
        let mut text = match (*lowest, *highest) {
            (lowest, _) if lowest != first => format!(
                "its {count} images are numbered from {lowest}, and {first} is expected as the first number"
            ),
            (_, highest) if highest > number => format!(
                "image {number}, `{wanted}`, is missing among its {count} images, numbered {lowest} to {highest}"
            ),
            (_, highest) => {
                format!("its images end with {highest}: `{wanted}` is not there")
            }
        };
        if let Some(naming) = self.other_naming() {
            text.push_str(&format!("; besides, {naming}"));
        }
        text
    }

    /// The template and the first number that would fit the images that are not named.
    fn other_naming(&self) -> Option<String> {
        let name = self.others.first()?;
        let count = self.others.len();
        let others = match count {
            1 => format!("there is `{}`", name.shown()),
            _ => format!("there are `{}` and {} more", name.shown(), count - 1),
        };
        Some(match Template::fitting(name) {
            None => others,
            Some((template, number)) => format!(
                "{others}, which the template `{}` names, with {number} as the first number",
                template.shown()
            ),
        })
    }
}

/// By its ending, whose case is any.
pub fn is_image(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    ending.is_some_and(|ending| {
        ENDINGS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(ending))
    })
}

/// Whether a file begins as the images that are decoded do. Where not: what is wrong.
pub fn check_start(path: &Path) -> Result<(), VideoError> {
    use std::io::Read;
    let mut start = Vec::new();
    let file = files::open(path).map_err(unreadable)?;
    file.take(8).read_to_end(&mut start).map_err(unreadable)?;
    match start.as_slice() {
        [] => Err(VideoError::Empty),
        [0xff, 0xd8, ..] | [0x89, b'P', b'N', b'G', ..] => Ok(()),
        _ => Err(VideoError::UnknownFormat { start }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(template: &str, names: &[&str]) -> Inventory {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        Inventory::of(folder.path(), &Template::parse(template).unwrap()).unwrap()
    }

    #[test]
    fn what_is_wrong_with_the_numbers_is_said() {
        let cases: [(&str, usize, &[&str]); 8] = [
            (
                "img_{:02}.jpg",
                1,
                &["img_01.jpg", "img_02.jpg", "img_04.jpg"],
            ),
            ("img_{:02}.jpg", 1, &["img_00.jpg", "img_01.jpg"]),
            ("img_{:02}.jpg", 0, &["img_01.jpg", "img_02.jpg"]),
            ("img_{:02}.jpg", 1, &["00001.jpg", "00002.jpg"]),
            ("img_{:02}.jpg", 1, &["10.png", "9.png", "notes.txt"]),
            ("img_{:02}.jpg", 1, &["img_01.JPG"]),
            (
                "img_{:02}.jpg",
                1,
                &["img_01.jpg", "img_02.JPG", "img_03.jpg"],
            ),
            ("img_{:02}.jpg", 1, &["notes.txt"]),
        ];
        let said = cases.map(|(template, first, names)| {
            let count = inventory(template, names).count_from(first);
            format!(
                "{template} from {first} of {names:?}\n  {}",
                count.unwrap_err()
            )
        });
        insta::assert_snapshot!(said.join("\n"));
    }

    #[test]
    fn images_beyond_the_count_are_counted_on_both_sides() {
        let names = ["1.png", "2.png", "3.png", "4.png", "5.png"];
        let inventory = inventory("{}.png", &names);
        assert_eq!(inventory.count_from(1).unwrap(), 5);
        assert_eq!(inventory.surplus(2, 2), 3);
        assert_eq!(inventory.surplus(1, 5), 0);
        assert_eq!(inventory.missing(4, 3), Some(6));
        assert_eq!(inventory.surplus(1, usize::MAX), 0);
    }
}
