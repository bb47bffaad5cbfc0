//! Findings of the rules, which name fields, become mistakes of a file, which have places.

use super::decode::Decoder;
use super::report::Mistake;
use super::rules::Finding;
use super::syntax::Span;

/// The findings with their places. Left out is what stems from another mistake: findings that read a value
/// which could not be decoded and, where the decoder or another finding has something to say, those about
/// defaults alone.
pub fn all(findings: &[Finding], decoder: &Decoder) -> Vec<Mistake> {
    let sound: Vec<&Finding> = findings.iter().filter(|f| is_sound(f, decoder)).collect();
    let written = |f: &&Finding| {
        f.fields
            .iter()
            .any(|(path, _)| decoder.spans.contains_key(path))
    };
    let mut shown: Vec<&Finding> = sound.iter().copied().filter(written).collect();
    if shown.is_empty() && decoder.mistakes.is_empty() {
        shown = sound;
    }
    shown
        .into_iter()
        .map(|finding| place(finding, decoder))
        .collect()
}

/// Whether all that the rule read could be decoded.
fn is_sound(finding: &Finding, decoder: &Decoder) -> bool {
    let failed = |path: &str| decoder.failed.iter().any(|failed| related(failed, path));
    !finding.fields.iter().any(|(path, _)| failed(path))
}

/// Whether one path holds the other.
fn related(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    let rest = long.strip_prefix(short);
    rest.is_some_and(|rest| rest.is_empty() || short.is_empty() || rest.starts_with(['.', '[']))
}

/// Fields in the file are labelled there; of the others the hint says that their defaults apply.
fn place(finding: &Finding, decoder: &Decoder) -> Mistake {
    let mut mistake = Mistake::new(&finding.message);
    let mut hints: Vec<String> = finding.hint.iter().cloned().collect();
    for (path, what) in &finding.fields {
        match decoder.spans.get(path) {
            Some(span) => mistake = mistake.label(span.clone(), what),
            None => hints.push(format!(
                "`{path}` is not in the file, its default applies: {what}"
            )),
        }
    }
    if mistake.labels.is_empty() {
        let first = finding.fields.first().map_or("", |(path, _)| path);
        mistake = mistake.label(holder(first, decoder), "here");
    }
    match hints.is_empty() {
        true => mistake,
        false => mistake.hint(hints.join("\n")),
    }
}

/// The place of what would hold a field that is not in the file.
fn holder(path: &str, decoder: &Decoder) -> Span {
    let mut path = path;
    while let Some(end) = path.rfind(['.', '[']) {
        path = &path[..end];
        if let Some(span) = decoder.spans.get(path) {
            return span.clone();
        }
    }
    decoder.spans.get("").map_or(0..0, Span::clone)
}

#[cfg(test)]
mod tests {
    use super::related;

    #[test]
    fn paths_are_related_along_whole_segments() {
        assert!(related("method.frames", "method.frames[1]"));
        assert!(related("method.frames", "method"));
        assert!(related("", "data"));
        assert!(!related("eval.size", "eval.size_of"));
        assert!(!related("eval.frames", "method.frames"));
    }
}
