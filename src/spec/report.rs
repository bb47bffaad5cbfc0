//! Mistakes and warnings, and how a person sees them: file, line, column, the text underlined, what to do.

use std::fmt::{self, Display, Formatter};
use std::io::IsTerminal;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, Severity,
    SourceCode,
};

use super::excerpt::Excerpt;
use super::syntax::Span;
use crate::base::count;

/// More than these in one file help nobody.
const MOST_SHOWN: usize = 50;

/// Mistakes of one kind of work that are kept. Whoever finds more goes on, to say nothing.
pub const MOST_KEPT: usize = 1000;

/// Columns of a report, fixed so that it reads the same everywhere.
const WIDTH: usize = 100;

/// One thing that is wrong with a file, or deserves a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub message: String,
    /// Places and what is there; the first is the one to mend.
    pub labels: Vec<(Span, String)>,
    pub hint: Option<String>,
}

impl Mistake {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            labels: Vec::new(),
            hint: None,
        }
    }

    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push((span, text.into()));
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Mistakes as they are found.
pub trait Keep {
    /// Adds a mistake, unless there are [`MOST_KEPT`].
    fn keep(&mut self, mistake: Mistake);
}

impl Keep for Vec<Mistake> {
    fn keep(&mut self, mistake: Mistake) {
        if self.len() < MOST_KEPT {
            self.push(mistake);
        }
    }
}

/// The text of a file with its name, for reports.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

impl Source<'_> {
    /// All mistakes of the file in the order of their places, one after another.
    pub fn mistakes(&self, mistakes: &[Mistake]) -> String {
        let mut ordered: Vec<&Mistake> = mistakes.iter().collect();
        ordered.sort_by_key(|mistake| mistake.labels.first().map(|(span, _)| span.start));
        let mut report = format!("{} in {}", count(mistakes.len(), "mistake"), self.name);
        for mistake in ordered.iter().take(MOST_SHOWN) {
            report.push_str("\n\n");
            report.push_str(&self.render(mistake, Severity::Error));
        }
        if let Some(more) = mistakes.len().checked_sub(MOST_SHOWN).filter(|&n| n > 0) {
            report.push_str(&format!("\n\nand {more} more"));
        }
        report
    }

    pub fn warning(&self, warning: &Mistake) -> String {
        self.render(warning, Severity::Warning)
    }

    /// Underlined is the first line of what spans several.
    fn first_line(&self, span: &Span) -> Span {
        let lines = self.text.get(span.clone()).unwrap_or_default();
        let length = lines.lines().next().map_or(0, str::len);
        span.start..span.start + length
    }

    fn render(&self, mistake: &Mistake, severity: Severity) -> String {
        let spans: Vec<Span> = mistake
            .labels
            .iter()
            .map(|l| self.first_line(&l.0))
            .collect();
        let excerpt = Excerpt::new(self.name, self.text, &spans);
        let labels = mistake.labels.iter().enumerate().map(|(i, (_, text))| {
            let (text, span) = (Some(text.clone()), excerpt.span(&spans[i]));
            match i {
                0 => LabeledSpan::new_primary_with_span(text, span),
                _ => LabeledSpan::new_with_span(text, span),
            }
        });
        let mut diagnostic = MietteDiagnostic::new(mistake.message.clone())
            .with_severity(severity)
            .with_labels(labels);
        diagnostic.help = mistake.hint.clone();
        let mut text = String::new();
        let rendered = GraphicalReportHandler::new_themed(theme())
            .with_width(WIDTH)
            .with_links(false)
            .without_syntax_highlighting()
            .render_report(
                &mut text,
                &Placed {
                    diagnostic,
                    excerpt,
                },
            );
        match rendered {
            Ok(()) => text.trim_end().to_string(),
            Err(_) => mistake.message.clone(),
        }
    }
}

/// A mistake with the text in which it is.
#[derive(Debug)]
struct Placed<'a> {
    diagnostic: MietteDiagnostic,
    excerpt: Excerpt<'a>,
}

impl Diagnostic for Placed<'_> {
    fn severity(&self) -> Option<Severity> {
        self.diagnostic.severity()
    }

    fn help<'b>(&'b self) -> Option<Box<dyn Display + 'b>> {
        self.diagnostic.help()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.diagnostic.labels()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.excerpt)
    }
}

impl Display for Placed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.diagnostic.fmt(f)
    }
}

impl std::error::Error for Placed<'_> {}

/// Colours only for a person at a terminal who did not ask for none.
fn theme() -> GraphicalTheme {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match std::io::stderr().is_terminal() && !no_color {
        true => GraphicalTheme::unicode(),
        false => GraphicalTheme::unicode_nocolor(),
    }
}
