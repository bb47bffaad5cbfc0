//! Pages with references → pages of plain Markdown.

use super::context::Context;
use super::figures;
use super::functions::{self, FUNCTIONS, Function, Shape};
use super::markdown::{Part, parts};
use super::mistake::Mistake;
use super::reference::{self, Reference};
use crate::report::escape;

/// The first line of a page that shows results. Only such pages may refer to runs, and [`figures`] rules them.
pub const RESULTS: &str = "<!-- results -->";

/// A page of the book as people wrote it.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// Path below the book's source folder, with `/`.
    pub path: &'a str,
    /// The path that mistakes are told with.
    pub shown: &'a str,
    pub text: &'a str,
}

impl Context<'_> {
    /// The page with every reference replaced; what it finds wrong goes to `mistakes`.
    pub fn page(&mut self, page: Page<'_>, mistakes: &mut Vec<Mistake>) -> String {
        self.up = "../".repeat(page.path.matches('/').count());
        let results = page.text.starts_with(RESULTS);
        if results {
            let typed = figures::typed(page.text).into_iter();
            mistakes.extend(typed.map(|range| {
                let figure = page.text.get(range.clone()).unwrap_or_default();
                let message = format!(
                    "the figure `{figure}` is typed on a results page; refer to the run it comes from, or quote it with {{{{paper}}}}"
                );
                Mistake::at(page.shown, page.text, range.start, message)
            }));
        }
        let mut body = Body::default();
        for (part, range) in parts(page.text) {
            let Part::Reference(inner) = part else {
                body.push(page.text.get(range).unwrap_or_default());
                continue;
            };
            let alone = line_around(page.text, &range).trim() == inner_with_braces(inner);
            let start = body.optional;
            if let Err(message) = self.reference(inner, Place { alone, results }, &mut body) {
                mistakes.push(Mistake::at(page.shown, page.text, range.start, message));
            }
            if start.is_none() && body.optional.is_some() {
                body.optional = Some(range.start);
            }
        }
        if let Some(start) = body.optional {
            let message = "`{{optional}}` without `{{end}}`";
            mistakes.push(Mistake::at(page.shown, page.text, start, message));
        }
        body.text
    }

    fn reference(&mut self, inner: &str, place: Place, body: &mut Body) -> Result<(), String> {
        let reference = reference::parse(inner)?;
        match (reference.name, &reference.arguments[..]) {
            ("optional", [name]) => return self.optional(name, body),
            ("end", []) if body.optional.is_some() => {
                (body.optional, body.skips) = (None, false);
                return Ok(());
            }
            _ => {}
        }
        let function = find(&reference)?;
        if function.of_results && !place.results {
            return Err(format!(
                "a page with results begins with the line `{RESULTS}`, which this one does not"
            ));
        }
        if function.shape == Shape::Block && !place.alone {
            return Err(format!("`{}` stands on a line of its own", function.name));
        }
        if !body.skips {
            let text = functions::call(function, self, &reference.arguments);
            body.push(&text.map_err(|error| error.to_string())?);
        }
        Ok(())
    }

    /// From here to `{{end}}` the page needs what is called `name`.
    fn optional(&mut self, name: &str, body: &mut Body) -> Result<(), String> {
        if body.optional.is_some() {
            return Err("`{{optional}}` inside `{{optional}}`".to_owned());
        }
        let missing = !self.catalogue.has(name);
        if missing {
            body.push(&format!(
                "> Not in this build of the book: it needs {}, which was not run where the book was built.\n",
                escape::code(name)
            ));
        }
        (body.optional, body.skips) = (Some(0), missing);
        Ok(())
    }
}

/// Where a reference stands.
struct Place {
    /// Whether nothing else is on its line.
    alone: bool,
    /// Whether its page is one of results.
    results: bool,
}

/// The page as far as it is expanded.
#[derive(Default)]
struct Body {
    text: String,
    /// Where the open `{{optional}}` begins in the page as written.
    optional: Option<usize>,
    /// Whether what comes is left out, since the open `{{optional}}` is not there.
    skips: bool,
}

impl Body {
    fn push(&mut self, text: &str) {
        if !self.skips {
            self.text.push_str(text);
        }
    }
}

fn find(reference: &Reference<'_>) -> Result<&'static Function, String> {
    let found = FUNCTIONS.iter().find(|f| f.name == reference.name);
    let function = found.ok_or_else(|| unknown(reference.name))?;
    match function.accepts(reference.arguments.len()) {
        true => Ok(function),
        false => Err(format!("expected `{}`", function.usage())),
    }
}

fn unknown(name: &str) -> String {
    let near = FUNCTIONS
        .iter()
        .map(|f| (strsim::damerau_levenshtein(f.name, name), f.name))
        .min();
    match near {
        Some((distance, near)) if distance <= 2 => {
            format!("there is no reference `{name}`; did you mean `{near}`?")
        }
        _ => {
            let names: Vec<&str> = FUNCTIONS.iter().map(|f| f.name).collect();
            format!(
                "there is no reference `{name}`; there are {}",
                names.join(", ")
            )
        }
    }
}

fn inner_with_braces(inner: &str) -> String {
    ["{{", inner, "}}"].concat()
}

/// The whole line that a range of a text stands on.
fn line_around<'a>(text: &'a str, range: &std::ops::Range<usize>) -> &'a str {
    let before = text.get(..range.start).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let after = text.get(range.end..).unwrap_or_default();
    let end = range.end + after.find('\n').unwrap_or(after.len());
    text.get(start..end).unwrap_or_default()
}
