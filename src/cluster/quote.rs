//! Text that a shell and `sbatch` read back as it is.

use std::path::Path;

use crate::base::{Error, Kind, Result, Shown};

/// A word of a shell. What needs no quotes has none.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// Words of a shell, with spaces between them.
pub fn words<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let words: Vec<String> = texts.into_iter().map(|text| word(text.as_ref())).collect();
    words.join(" ")
}

/// A path as the value of an option in an `#SBATCH` line. `sbatch` knows no escapes there but that of a double quote.
pub fn directive(path: &Path) -> Result<String> {
    let text = utf8(path)?;
    match text.contains(|c: char| c.is_control() || c == '\\') {
        false => Ok(format!("\"{}\"", text.replace('"', "\\\""))),
        true => Err(Error::new(
            Kind::Usage,
            format!(
                "`{}` cannot stand in a batch script: it holds a backslash or a control character",
                path.shown()
            ),
        )
        .hint("use a folder of another name")),
    }
}

/// As [`directive`], where `sbatch` puts other text for `%` and a letter.
pub fn pattern(folder: &Path) -> Result<String> {
    Ok(directive(folder)?.replace('%', "%%"))
}

/// A path as text.
pub fn utf8(path: &Path) -> Result<&str> {
    let message = || format!("`{}` is not UTF-8 text", path.shown());
    path.to_str()
        .ok_or_else(|| Error::new(Kind::Usage, message()).hint("use a path of another name"))
}

/// Refuses the value of an option that `sbatch` would read otherwise than it is written.
pub fn plain(flag: &str, value: &str) -> Result<()> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "\"'\\#".contains(c);
    match value.is_empty() || value.contains(odd) {
        false => Ok(()),
        true => Err(Error::new(
            Kind::Usage,
            format!(
                "{flag} takes a word without spaces, quotes, `\\` and `#`, found `{}`",
                value.shown()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for text in [
            "plain/file.ron",
            "with space",
            "it's",
            "\"$HOME\" `x` \\ ; #",
            "",
            "a\nb",
            "*",
            "~",
            "é",
            "{1,2}",
            "!x",
        ] {
            let script = format!("printf %s {}", word(text));
            let output = std::process::Command::new("bash")
                .args(["-c", &script])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
        assert_eq!(word("lr=0.1"), "lr=0.1");
    }

    #[test]
    fn values_that_sbatch_would_not_read_are_refused() {
        for value in ["", "a b", "x#y", "a\nb", "\"", "\\"] {
            assert_eq!(plain("--gres", value).unwrap_err().kind, Kind::Usage);
        }
        plain("--gres", "gpu:a100:1").unwrap();
        assert_eq!(
            pattern(Path::new("/a b/50%/\"c\"")).unwrap(),
            "\"/a b/50%%/\\\"c\\\"\""
        );
        assert_eq!(directive(Path::new("a\nb")).unwrap_err().kind, Kind::Usage);
    }
}
