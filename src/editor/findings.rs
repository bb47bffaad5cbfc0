//! Mistakes and warnings as an editor shows them.

use gen_lsp_types::{
    Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, Location, Position, Range, Uri,
};

use super::files;
use super::lines::{Encoding, Lines};
use crate::base::{Error, count};
use crate::plan;
use crate::spec::examine::{Examination, ExaminedFile, Mistake, Span};

/// More than these in one file help nobody.
const MOST_SHOWN: usize = 100;

/// What is shown at the beginning of a file.
const BEGINNING: Range = Range {
    start: Position {
        line: 0,
        character: 0,
    },
    end: Position {
        line: 0,
        character: 0,
    },
};

/// A text, and how it is named.
pub struct Source<'a> {
    pub uri: &'a str,
    pub lines: &'a Lines,
}

impl Source<'_> {
    /// Everything that is found in the file itself, of a suite also which of its experiment files have mistakes.
    pub fn all(&self, examined: &Examination, encoding: Encoding) -> Vec<Diagnostic> {
        let mut found = self.of(&examined.mistakes, &examined.warnings);
        let broken = examined
            .files
            .iter()
            .filter(|file| !file.mistakes.is_empty());
        found.extend(broken.flat_map(|file| self.broken(file, encoding)));
        if examined.is_sound() {
            found.extend(too_large(examined));
        }
        found
    }

    fn of(&self, mistakes: &[Mistake], warnings: &[Mistake]) -> Vec<Diagnostic> {
        let errors = mistakes
            .iter()
            .map(|found| (found, DiagnosticSeverity::Error));
        let warnings = warnings
            .iter()
            .map(|found| (found, DiagnosticSeverity::Warning));
        let all = errors.chain(warnings);
        let total = all.clone().count();
        let mut shown: Vec<Diagnostic> = all
            .take(MOST_SHOWN)
            .map(|(found, severity)| self.diagnostic(found, severity))
            .collect();
        shown.sort_by_key(|diagnostic| diagnostic.range);
        if let Some(more) = total.checked_sub(MOST_SHOWN).filter(|more| *more > 0) {
            let message = format!("and {} more", count(more, "mistake"));
            shown.push(plain(BEGINNING, DiagnosticSeverity::Error, message));
        }
        shown
    }

    fn diagnostic(&self, found: &Mistake, severity: DiagnosticSeverity) -> Diagnostic {
        let mut labels = found.labels.iter();
        let first = labels.next();
        let range = first.map_or(BEGINNING, |(span, _)| self.lines.first_line(span));
        let label = first.map(|(_, label)| label.clone());
        let hint = found.hint.iter().map(|hint| format!("hint: {hint}"));
        let lines = [found.message.clone()].into_iter().chain(label).chain(hint);
        let related: Vec<_> = labels.map(|label| self.related(label)).collect();
        Diagnostic {
            related_information: (!related.is_empty()).then_some(related),
            ..plain(range, severity, lines.collect::<Vec<_>>().join("\n"))
        }
    }

    fn related(&self, (span, label): &(Span, String)) -> DiagnosticRelatedInformation {
        let uri = Uri(self.uri.to_owned());
        let location = Location::new(uri, self.lines.first_line(span));
        DiagnosticRelatedInformation::new(location, label.clone())
    }

    /// The places at which a suite names a file with mistakes.
    fn broken(&self, file: &ExaminedFile, encoding: Encoding) -> Vec<Diagnostic> {
        let lines = Lines::new(file.text.clone(), encoding);
        let uri = files::uri(&file.path);
        let source = Source {
            uri: &uri,
            lines: &lines,
        };
        let related = file.mistakes.iter().take(MOST_SHOWN).map(|mistake| {
            let place = mistake
                .labels
                .first()
                .map_or(0..0, |(span, _)| span.clone());
            source.related(&(place, mistake.message.clone()))
        });
        let related: Vec<_> = related.collect();
        let message = format!("this file has {}", count(file.mistakes.len(), "mistake"));
        let named = file.named.iter().map(|span| Diagnostic {
            related_information: Some(related.clone()),
            ..plain(
                self.lines.first_line(span),
                DiagnosticSeverity::Error,
                message.clone(),
            )
        });
        named.collect()
    }
}

/// What is found in an experiment file of a suite.
pub fn of_file(file: &ExaminedFile, encoding: Encoding) -> Vec<Diagnostic> {
    let lines = Lines::new(file.text.clone(), encoding);
    let uri = files::uri(&file.path);
    let source = Source {
        uri: &uri,
        lines: &lines,
    };
    source.of(&file.mistakes, &file.warnings)
}

/// What is larger than any program can be.
fn too_large(examined: &Examination) -> Option<Diagnostic> {
    let several = examined.experiments.len() > 1;
    examined.experiments.iter().find_map(|(name, experiment)| {
        let mut error = plan::fits(experiment).err()?;
        if several {
            error.message = format!("member `{name}`: {}", error.message);
        }
        Some(of_error(&error))
    })
}

/// An error about a file as a whole.
pub fn of_error(error: &Error) -> Diagnostic {
    let hint = error.hint.iter().map(|hint| format!("hint: {hint}"));
    let lines: Vec<String> = [error.message.clone()].into_iter().chain(hint).collect();
    plain(BEGINNING, DiagnosticSeverity::Error, lines.join("\n"))
}

fn plain(range: Range, severity: DiagnosticSeverity, message: String) -> Diagnostic {
    Diagnostic {
        range,
        severity: Some(severity),
        source: Some("ffn".to_owned()),
        message: message.into(),
        ..Diagnostic::default()
    }
}
