//! `{{name argument "an argument with spaces"}}`.

use crate::base::shown::is_hidden;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference<'a> {
    pub name: &'a str,
    pub arguments: Vec<&'a str>,
}

/// What stands between the braces, or why it is no reference.
pub fn parse(inner: &str) -> Result<Reference<'_>, String> {
    if let Some(sign) = inner.chars().find(|sign| is_hidden(*sign) && *sign != '\t') {
        let sign = sign.escape_default();
        return Err(format!("a reference holds `{sign}`, which nobody sees"));
    }
    let mut words = words(inner)?.into_iter();
    match words.next() {
        Some(name) => Ok(Reference {
            name,
            arguments: words.collect(),
        }),
        None => Err("expected the name of a reference, found nothing".to_owned()),
    }
}

/// Words between spaces; quotes keep spaces in a word.
fn words(text: &str) -> Result<Vec<&str>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted
                .split_once('"')
                .ok_or_else(|| format!("a quotation mark is not closed: `\"{quoted}`"))?,
            None => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_spaces() {
        let reference = parse(" paper \"56.07 %\" \"table 1\" x ").unwrap();
        assert_eq!(reference.name, "paper");
        assert_eq!(reference.arguments, ["56.07 %", "table 1", "x"]);
        assert!(parse("  ").unwrap_err().contains("nothing"));
        assert!(parse("a \"b").unwrap_err().contains("not closed"));
        assert!(
            parse("a \u{1b}[2J")
                .unwrap_err()
                .contains("holds `\\u{1b}`")
        );
    }
}
