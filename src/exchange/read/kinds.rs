//! What a file is that holds no checkpoint: most are what a download gave instead of one.

use super::{Error, fault, printable};

/// How the files of other programs begin.
const BEGINNINGS: &[(&[u8], &str, &str)] = &[
    (b"\x1f\x8b", "compressed with gzip", "unpack it with gunzip"),
    (b"BZh", "compressed with bzip2", "unpack it with bunzip2"),
    (b"\xfd7zXZ\0", "compressed with xz", "unpack it with unxz"),
    (
        b"\x28\xb5\x2f\xfd",
        "compressed with zstd",
        "unpack it with unzstd",
    ),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (
        b"\x89HDF\r\n",
        "HDF5, in which Keras keeps weights",
        "load it there, and write safetensors or a PyTorch checkpoint",
    ),
    (
        b"\x93NUMPY",
        "an array of numpy",
        "a checkpoint holds arrays by name: torch.save a dictionary of tensors",
    ),
    (b"GGUF", "GGUF, weights of a language model", EXPECTED),
    (b"%PDF", "a PDF document", EXPECTED),
    (b"\x89PNG", "a PNG image", EXPECTED),
    (b"\xff\xd8\xff", "a JPEG image", EXPECTED),
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video", EXPECTED),
    (b"\x7fELF", "a program", EXPECTED),
];
const UNPACK: &str = "unpack it: a file inside may be the checkpoint";
const EXPECTED: &str = "expected what torch.save or safetensors.torch.save_file writes";
const AGAIN: &str = "get the file again, and compare its size and hash with those of its source";

/// The error for a file that is in none of the formats that are read.
pub fn unknown(bytes: &[u8]) -> Error {
    let begins = BEGINNINGS
        .iter()
        .find(|(first, ..)| bytes.starts_with(first));
    if let Some((_, what, hint)) = begins {
        return fault(*what).hint(*hint);
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return fault("a tar archive: either an archive to unpack, or PyTorch's format of before 0.1.10, which is not read").hint(
            "a file inside may be the checkpoint; otherwise torch.load and torch.save make a new one",
        );
    }
    match bytes {
        [] => fault("the file is empty").hint("get it again"),
        [0x80, 0..=5, ..] => pickle(),
        _ if bytes.iter().all(|&byte| byte == 0) => {
            fault("every byte of the file is zero: its content was never written").hint(AGAIN)
        }
        _ => match beginning(bytes) {
            Some(text) => of_text(text, bytes.len()),
            None => fault("neither a PyTorch checkpoint nor safetensors").hint(EXPECTED),
        },
    }
}

fn pickle() -> Error {
    fault("a pickle, but not one that torch.save wrote, or cut off at its beginning")
        .hint("load it with the program that wrote it, and torch.save its state_dict()")
}

/// The beginning of a file if it is text, without white space before it.
fn beginning(bytes: &[u8]) -> Option<&str> {
    const LOOKED_AT: usize = 2048;
    let some = bytes.get(..LOOKED_AT).unwrap_or(bytes);
    let text = match std::str::from_utf8(some) {
        Ok(text) => text,
        // The cut goes through a letter.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(some.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let binary = |sign: char| sign.is_control() && !sign.is_whitespace();
    let text = text.trim_start_matches('\u{feff}').trim();
    (!text.is_empty() && !text.contains(binary)).then_some(text)
}

/// What text is there instead of a checkpoint.
fn of_text(text: &str, bytes: usize) -> Error {
    // Of protocol 0, which is text.
    if ["(dp", "(lp", "ccollections\n"]
        .iter()
        .any(|first| text.starts_with(first))
    {
        return pickle();
    }
    let lower = text.to_ascii_lowercase();
    let starts = |words: &[&str]| words.iter().any(|word| lower.starts_with(word));
    if starts(&["version https://git-lfs", "version https://hawser"]) {
        let size = text.lines().find_map(|line| line.strip_prefix("size "));
        let size = size.map_or(String::new(), |size| {
            format!(" of {} bytes", printable(size))
        });
        return fault(format!(
            "a Git LFS pointer of {bytes} bytes, not the file{size} that it stands for"
        ))
        .hint("`git lfs pull` in the repository gets it");
    }
    if text.contains("/annex/objects/") {
        return fault("a git-annex pointer, not the file that it stands for")
            .hint("`git annex get` in the repository gets it");
    }
    if starts(&["<!doctype html", "<html", "<head", "<body"]) || lower.contains("<html") {
        return fault(format!("an HTML page{}, not a checkpoint", titled(text))).hint(
            "the download gave a page, of an error or to confirm at: open its address in a browser, or log in",
        );
    }
    if starts(&["{", "["]) && lower.contains("\"weight_map\"") {
        return fault("the index of a checkpoint in several files, not a checkpoint").hint(
            "a file that it names holds tensors; safetensors.torch.save_file makes one of all",
        );
    }
    let what = match () {
        () if starts(&["{", "["]) => "JSON",
        () if starts(&["<"]) => "XML or HTML",
        () => "text",
    };
    let line = text.lines().next().unwrap_or_default();
    fault(format!(
        "{what}, not a checkpoint: it begins with `{}`",
        printable(line)
    ))
    .hint("if this is what a server answered instead of the file, get the file again")
}

/// The title of a page.
fn titled(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let from = lower.find("<title>").map(|at| at + "<title>".len());
    let title = from.and_then(|from| text.get(from..)?.split('<').next());
    let title = title.map(str::trim).filter(|title| !title.is_empty());
    title.map_or(String::new(), |title| {
        format!(" called `{}`", printable(title))
    })
}
