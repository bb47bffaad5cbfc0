//! Findings of the rules, which name fields, become mistakes of a file, which have places.

use std::collections::BTreeSet;

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
    let failed = |(path, _): &(String, String)| has_failed(path, &decoder.failed);
    !finding.fields.iter().any(failed)
}

/// Whether a failed path is this one, holds it, or is inside it.
fn has_failed(path: &str, failed: &BTreeSet<String>) -> bool {
    let inside = |separator| {
        let start = format!("{path}{separator}");
        let next = failed.range(start.clone()..).next();
        next.is_some_and(|other| other.starts_with(&start))
    };
    holders(path).any(|holder| failed.contains(holder)) || inside('.') || inside('[')
}

/// The path, the paths of what holds it, and the empty path of the experiment.
fn holders(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| match path.rfind(['.', '[']) {
        Some(end) => Some(&path[..end]),
        None => (!path.is_empty()).then_some(""),
    })
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
    let mut places = holders(path).filter_map(|holder| decoder.spans.get(holder));
    places.next().map_or(0..0, Span::clone)
}

#[cfg(test)]
mod tests {
    use super::has_failed;

    #[test]
    fn a_failure_counts_along_whole_segments() {
        let cases = [
            ("method.frames", "method.frames", true),
            ("method.frames", "method.frames[1]", true),
            ("method.frames[1]", "method", true),
            ("data", "", true),
            ("eval.size", "eval.size_of", false),
            ("eval.size_of", "eval.size", false),
            ("eval.frames", "method.frames", false),
        ];
        for (path, failed, expected) in cases {
            let failed = [failed.to_string()].into();
            assert_eq!(has_failed(path, &failed), expected, "{path} {failed:?}");
        }
    }
}
