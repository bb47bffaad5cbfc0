//! JSON documents that carry their own SHA-256, so that a changed byte in them is noticed without a second file.
//!
//! The first field is `"seal"`: the SHA-256 of the text with the seal's 64 digits replaced by zeros.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::{Error, Held, Kind, Result, Shown, files, limits};

const OPENING: &str = "{\n  \"seal\": \"";
const DIGITS: usize = 64;

/// The sealed text of a struct.
pub fn seal(document: &impl Serialize) -> Result<String> {
    let body = serde_json::to_string_pretty(document)
        .map_err(|e| Error::new(Kind::Run, format!("cannot write as JSON: {e}")))?;
    let fields = body.strip_prefix("{\n").unwrap_or("}");
    let with = |digits: &str| format!("{OPENING}{digits}\",\n{fields}\n");
    Ok(with(&files::sha256(with(&"0".repeat(DIGITS)).as_bytes())))
}

/// Whether a text is as it was sealed.
fn intact(text: &str) -> bool {
    let end = OPENING.len() + DIGITS;
    match (text.strip_prefix(OPENING), text.get(end..)) {
        (Some(_), Some(rest)) => {
            let zeroed = format!("{OPENING}{}{rest}", "0".repeat(DIGITS));
            text.get(OPENING.len()..end) == Some(files::sha256(zeroed.as_bytes()).as_str())
        }
        _ => false,
    }
}

/// Writes a sealed document into a folder, atomically.
pub fn write(folder: &Held, name: &str, document: &impl Serialize) -> Result<()> {
    folder.write_atomic(name, seal(document)?.as_bytes())
}

/// Reads a sealed document and refuses one that was changed.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&text(path)?).map_err(|e| damaged(path, &e.to_string()))
}

/// Refuses a sealed document that was changed, whatever is in it.
pub fn check(path: &Path) -> Result<()> {
    text(path).map(drop)
}

fn text(path: &Path) -> Result<String> {
    let text = String::from_utf8(files::read(path, limits::DOCUMENT)?)
        .map_err(|_| damaged(path, "it is not UTF-8 text any more"))?;
    match intact(&text) {
        true => Ok(text),
        false => Err(damaged(path, "its content does not have its seal")),
    }
}

fn damaged(path: &Path, what: &str) -> Error {
    Error::new(Kind::Run, format!("`{}` is damaged: {what}", path.shown()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        step: u64,
        text: String,
    }

    fn note() -> Note {
        Note {
            step: 7,
            text: "seven".into(),
        }
    }

    #[test]
    fn a_sealed_document_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note.json");
        write(&Held::open(folder.path()).unwrap(), "note.json", &note()).unwrap();
        assert_eq!(read::<Note>(&path).unwrap(), note());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note.json");
        let sealed = seal(&note()).unwrap().into_bytes();
        for bit in 0..sealed.len() * 8 {
            let mut bytes = sealed.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read::<Note>(&path).unwrap_err().kind, Kind::Run);
        }
    }

    #[test]
    fn every_truncation_is_noticed() {
        let sealed = seal(&note()).unwrap();
        assert!((0..sealed.len()).all(|end| !intact(&sealed[..end])));
    }
}
