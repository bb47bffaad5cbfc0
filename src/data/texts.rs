//! The text files of a data set: found by name, read as UTF-8.

use std::path::{Path, PathBuf};

use crate::base::{Error, Kind, Result, Shown, files, limits};

/// How files begin that were saved in another form of Unicode than plain UTF-8.
const MARKS: [(&[u8], &str); 3] = [
    (b"\xef\xbb\xbf", "UTF-8 with a byte order mark"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
];

/// The first of `places` that is there. Where none is, every place, and what is in the way of a file there.
pub fn find(what: &str, places: &[PathBuf]) -> Result<PathBuf> {
    if let Some(found) = places.iter().find(|path| path.is_file()) {
        return Ok(found.clone());
    }
    let tried = places.iter().map(|path| match path.metadata() {
        Ok(metadata) => format!(
            "\n  {}, which is {}, not a file",
            path.shown(),
            files::kind_of(&metadata)
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("\n  {}", path.shown())
        }
        Err(error) => format!("\n  {}: {error}", path.shown()),
    });
    let tried: String = tried.collect();
    Err(Error::new(
        Kind::Data,
        format!("{what} is missing; it is none of{tried}"),
    ))
}

/// The text of a list, whole.
pub fn read(path: &Path) -> Result<String> {
    let bytes = files::read(path, limits::LIST)?;
    let wrong = |what: String| Error::new(Kind::Data, format!("`{}`: {what}", path.shown()));
    if let Some((_, name)) = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark)) {
        return Err(wrong(format!("it is {name}; plain UTF-8 is expected"))
            .hint("save it as UTF-8 without a byte order mark (BOM)"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        wrong(format!("it is not UTF-8 text from byte {at} on")).hint("save it as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_forms_of_text_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        let cases: [(&[u8], &str); 4] = [
            (b"\xef\xbb\xbfa 1 0\n", "with a byte order mark"),
            (b"\xff\xfea\0", "UTF-16"),
            (b"\xfe\xff\0a", "UTF-16"),
            (b"caf\xe9 1 0\n", "from byte 3 on"),
        ];
        for (bytes, expected) in cases {
            std::fs::write(&path, bytes).unwrap();
            let error = read(&path).unwrap_err();
            assert_eq!(error.kind, Kind::Data);
            assert!(error.message.contains(expected), "{error}");
        }
    }
}
