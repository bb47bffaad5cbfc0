//! The references of the book by name: what each takes, and the Markdown that stands in its place.

use super::arguments::argument;
use super::context::Context;
use super::{differences, files, language, plots, runs, suites};
use crate::base::{Result, limits};
use crate::report::{escape, table};

/// How a reference may stand in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// In a sentence or a cell.
    Inline,
    /// On a line of its own.
    Block,
}

type Call = fn(&mut Context<'_>, &[&str]) -> Result<String>;

/// One kind of reference.
pub struct Function {
    pub name: &'static str,
    /// Its arguments: `[X]` may be left out, `X...` is one or more.
    pub takes: &'static str,
    /// What stands in its place.
    pub gives: &'static str,
    pub shape: Shape,
    /// Whether it shows what a run measured, so that the page is one of results.
    pub of_results: bool,
    call: Call,
}

/// Every reference, in the order of the book's page on them.
pub const FUNCTIONS: [Function; 26] = [
    number("top1", "RUN FRAMES", "top-1 in percent", runs::top1),
    number("top5", "RUN FRAMES", "top-5 in percent", runs::top5),
    number(
        "deviation",
        "RUN FROM TO",
        "top-1 at FROM frames minus top-1 at TO frames, in points",
        runs::deviation,
    ),
    number(
        "gain",
        "RUN OTHER FRAMES",
        "top-1 of RUN minus top-1 of OTHER, in points",
        runs::gain,
    ),
    number(
        "clips",
        "RUN FRAMES",
        "clips that were evaluated",
        runs::clips,
    ),
    number(
        "parameters",
        "RUN",
        "parameters of the network",
        runs::parameters,
    ),
    number(
        "gflops",
        "RUN FRAMES",
        "10⁹ multiply-adds of a clip",
        runs::gflops,
    ),
    number("steps", "RUN", "training steps", runs::steps),
    number(
        "minutes",
        "RUN",
        "minutes that its processes took",
        runs::minutes,
    ),
    number("run", "RUN", "the run's name", runs::name),
    number(
        "claim",
        "SUITE CLAIM",
        "verdict, value and interval of a claim",
        suites::claim,
    ),
    number(
        "json",
        "FILE POINTER [UNIT]",
        "a value of a JSON file, by its [pointer](https://www.rfc-editor.org/rfc/rfc6901)",
        files::json,
    ),
    block(
        "results",
        "RUN...",
        "top-1 by frame count, a row for each run",
        true,
        runs::results,
    ),
    block(
        "classes",
        "RUN",
        "top-1 of each class by frame count",
        true,
        runs::classes,
    ),
    block(
        "plot",
        "NAME RUN|SUITE...",
        "a figure of `ffn plot`: `deviation`, `gflops`, `drift`, `training`, `confusion-T`, `alteration`; once in a book",
        true,
        plots::plot,
    ),
    block(
        "verdicts",
        "SUITE",
        "every claim with its verdict",
        true,
        suites::verdicts,
    ),
    block(
        "members",
        "SUITE",
        "top-1 of each member by frame count: mean, least and most over the seeds",
        true,
        suites::members,
    ),
    block(
        "differences",
        "RUN",
        "the named differences, and what each does to RUN as far as there is a run that differs in nothing else",
        true,
        differences::ledger,
    ),
    block(
        "code",
        "FILE BEGINNING",
        "the item of a source file whose first line begins so",
        false,
        files::code,
    ),
    Function {
        name: "source",
        takes: "FILE",
        gives: "a link to a page with the file",
        shape: Shape::Inline,
        of_results: false,
        call: files::source,
    },
    Function {
        name: "paper",
        takes: "FIGURE SOURCE",
        gives: "a figure that somebody else published, with its source",
        shape: Shape::Inline,
        of_results: false,
        call: paper,
    },
    block(
        "language",
        "PART",
        "the fields of an `experiment` or a `suite`, from the schema",
        false,
        language::reference,
    ),
    block(
        "commands",
        "[PREFIX]",
        "the subcommands, as `ffn help` tells them",
        false,
        commands,
    ),
    block(
        "benchmarks",
        "[]",
        "every JSON file below `benches/results`, each as a table",
        true,
        files::benchmarks,
    ),
    block(
        "limits",
        "[]",
        "the bounds on what is read, each with its reason",
        false,
        limits,
    ),
    block("references", "[]", "this table", false, references),
];

const fn number(
    name: &'static str,
    takes: &'static str,
    gives: &'static str,
    call: Call,
) -> Function {
    Function {
        name,
        takes,
        gives,
        shape: Shape::Inline,
        of_results: true,
        call,
    }
}

const fn block(
    name: &'static str,
    takes: &'static str,
    gives: &'static str,
    of_results: bool,
    call: Call,
) -> Function {
    Function {
        name,
        takes,
        gives,
        shape: Shape::Block,
        of_results,
        call,
    }
}

impl Function {
    /// `top1 RUN FRAMES`
    pub fn usage(&self) -> String {
        let takes = self.takes.trim_matches(['[', ']']);
        match takes.is_empty() {
            true => ["{{", self.name, "}}"].concat(),
            false => ["{{", self.name, " ", self.takes, "}}"].concat(),
        }
    }

    /// Whether so many arguments fit.
    pub fn accepts(&self, count: usize) -> bool {
        let words = self.takes.split(' ').filter(|word| *word != "[]");
        let required = words.clone().filter(|word| !word.starts_with('['));
        let most = match self.takes.ends_with("...") {
            true => usize::MAX,
            false => words.count(),
        };
        (required.count()..=most).contains(&count)
    }
}

/// What stands in the place of a reference. The number of arguments has been looked at.
pub fn call(function: &Function, context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    (function.call)(context, args)
}

/// A quotation: the one way to show a figure that no run here measured.
fn paper(_: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let (figure, source) = (argument(args, 0), argument(args, 1));
    let (figure, source) = (escape::markdown(figure), escape::markup(source));
    Ok(format!("<abbr title=\"{source}\">{figure}</abbr>"))
}

/// The help of each subcommand whose name begins so.
fn commands(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let prefix = argument(args, 0);
    let wanted = context.commands.iter();
    let wanted = wanted.filter(|(name, _)| name.starts_with(prefix));
    let section = |(name, help): &(String, String)| {
        let help = escape::block("text", help.trim_end());
        format!("## {}\n\n{help}", escape::code(&format!("ffn {name}")))
    };
    Ok(wanted.map(section).collect::<Vec<_>>().join("\n"))
}

/// The most that is taken of everything that comes from outside.
fn limits(_: &mut Context<'_>, _: &[&str]) -> Result<String> {
    let row = |bound: &limits::Bound| {
        let cells = [bound.what, &bound.describe(), bound.reason];
        cells.map(escape::markdown).to_vec()
    };
    let rows: Vec<Vec<String>> = limits::ALL.iter().map(row).collect();
    let header = ["of", "at most", "what people need of it"].map(str::to_owned);
    Ok(table::words(&header, &rows))
}

fn references(_: &mut Context<'_>, _: &[&str]) -> Result<String> {
    let row = |f: &Function| {
        let results = if f.of_results { "results" } else { "any page" };
        let place = match f.shape {
            Shape::Inline => "in a sentence",
            Shape::Block => "a line of its own",
        };
        vec![
            format!("`{}`", f.usage()),
            f.gives.to_owned(),
            place.to_owned(),
            results.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = FUNCTIONS.iter().map(row).collect();
    let header = ["reference", "gives", "stands", "on"].map(str::to_owned);
    Ok(table::words(&header, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_counted() {
        let of = |name: &str| FUNCTIONS.iter().find(|f| f.name == name).unwrap();
        let counts = |name: &str| {
            let accepted = (0..6).filter(|&n| of(name).accepts(n));
            accepted.collect::<Vec<_>>()
        };
        assert_eq!(counts("top1"), [2]);
        assert_eq!(counts("json"), [2, 3]);
        assert_eq!(counts("results"), [1, 2, 3, 4, 5]);
        assert_eq!(counts("language"), [1]);
        assert_eq!(counts("references"), [0]);
        assert_eq!(of("references").usage(), "{{references}}");
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = FUNCTIONS.iter().map(|f| f.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), FUNCTIONS.len());
    }
}
