//! Files as the protocol names them, `file:///home/a%20b.ron`, and as the operating system does.

use std::fmt::Write;
use std::path::{Component, Path, PathBuf};

const SCHEME: &str = "file://";

/// The path of a file; `None` of what is no file, such as a text that was never saved.
pub fn path(uri: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix(SCHEME)?;
    let local = rest.strip_prefix("localhost").unwrap_or(rest);
    let path = decoded(local.strip_prefix('/')?)?;
    // `file:///C:/a.ron` has its drive behind the slash.
    let has_drive = path.as_bytes().get(1) == Some(&b':');
    let path = match cfg!(windows) && has_drive {
        true => path,
        false => format!("/{path}"),
    };
    Some(plain(Path::new(&path)))
}

pub fn uri(path: &Path) -> String {
    let path = plain(path).to_string_lossy().replace('\\', "/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut uri = format!("{SCHEME}{slash}");
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b':' | b'-' | b'_' | b'.' | b'~' => {
                uri.push(char::from(byte));
            }
            // Writing to a String cannot fail.
            other => drop(write!(uri, "%{other:02X}")),
        }
    }
    uri
}

/// Without `.` and `..`.
pub fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        rest = others;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(others.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = others.get(2..)?;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_path_comes_back() {
        for of in ["/a/b.ron", "/a b/ü%#?.ron"] {
            assert_eq!(path(&uri(Path::new(of))).as_deref(), Some(Path::new(of)));
        }
        assert_eq!(uri(Path::new("/a/./b/../ü.ron")), "file:///a/%C3%BC.ron");
        assert_eq!(path("file:///a/%zz"), None);
        assert_eq!(path("file:///a/%e"), None);
        assert_eq!(path("file:///a/%ff"), None);
        assert_eq!(path("untitled:Untitled-1"), None);
        assert_eq!(path("file://localhost/a"), Some("/a".into()));
    }
}
