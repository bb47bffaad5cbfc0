//! Figures of runs and suites, inline in the page, so that they follow its colours.

use super::arguments::argument;
use super::context::Context;
use super::runs::page;
use crate::analysis::work;
use crate::base::{Error, Kind, Result, Shown};
use crate::report::escape;
use crate::report::plot::{self, Subject};
use crate::report::source::Run;
use crate::suite::MemberRun;

/// A figure of `ffn plot` by its name without the runs' names, with links to the runs that it was drawn from.
pub fn plot(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let (wanted, sources) = (argument(args, 0), args.get(1..).unwrap_or_default());
    let mut subjects = Vec::new();
    for source in sources {
        subjects.extend(context.subjects(source)?);
    }
    // The training curves alone are drawn from nothing but the run. Always all of a run's analyses: else a figure would
    // depend on what was drawn before it.
    if wanted != "training" {
        for subject in &subjects {
            work::complete(&subject.run.folder, context.opening)?;
        }
    }
    let gathered = plot::figures(&subjects)?;
    let runs: Vec<&Run> = subjects.iter().map(|subject| &subject.run).collect();
    let plain = |name: &str| {
        let names = runs.iter().map(|run| run.name());
        names.fold(name.to_owned(), |name, run| {
            name.replace(&format!("-{run}"), "")
        })
    };
    let figure = gathered
        .figures
        .iter()
        .find(|figure| plain(&figure.name) == wanted);
    let figure = figure.ok_or_else(|| {
        let known: Vec<String> = gathered.figures.iter().map(|f| plain(&f.name)).collect();
        let message = format!(
            "there is no figure `{wanted}`; there are {}",
            known.join(", ").shown()
        );
        Error::new(Kind::Run, message)
    })?;
    let links = runs.iter().map(|run| {
        let (name, up) = (run.name(), &context.up);
        let (page, name) = (page(&name), escape::markup(&name));
        let page = page.strip_suffix(".md").unwrap_or(&page);
        format!("<a href=\"{up}{page}.html\">{name}</a>")
    });
    let links = links.collect::<Vec<_>>().join(", ");
    // An empty line would end the element, as Markdown sees it.
    let lines = figure.svg.lines().filter(|line| !line.trim().is_empty());
    let svg = lines.collect::<Vec<_>>().join("\n");
    Ok(format!(
        "<figure>\n{svg}\n<figcaption>From {links}.</figcaption>\n</figure>\n"
    ))
}

impl Context<'_> {
    /// A suite's runs under their members' names, or the one run of this name under its own.
    fn subjects(&mut self, name: &str) -> Result<Vec<Subject>> {
        if !self.catalogue.has_suite(name) {
            let run = self.run(name)?.clone();
            let name = run.name();
            return Ok(vec![Subject { name, run }]);
        }
        let members = &self.suite(name)?.record.members;
        let subject = |member: &MemberRun| {
            let (name, run) = (member.name.clone(), self.run(&member.run)?.clone());
            Ok(Subject { name, run })
        };
        members.iter().map(subject).collect()
    }
}
