//! References to suites. Each links to the suite's page.

use super::arguments::argument;
use super::context::Context;
use crate::base::{Error, Kind, Result, Shown};
use crate::report::source::Suite;
use crate::report::{escape, results, table, verdicts};
use crate::suite::Judged;
use crate::suite::folder::{RECORD, VERDICTS};

/// Where a suite's page is, below the book's source folder.
pub fn page(suite: &str) -> String {
    format!("suites/{}.md", escape::file_name(suite))
}

impl<'a> Context<'a> {
    /// A suite that a page refers to: it gets a page of its own, and so do its runs.
    pub fn suite(&mut self, name: &str) -> Result<&'a Suite> {
        let suite = self.catalogue.suite(name)?;
        self.suites.insert(suite.name());
        self.runs
            .extend(suite.record.members.iter().map(|m| m.run.clone()));
        Ok(suite)
    }

    fn cite_suite(&self, suite: &str, text: &str, file: &str) -> String {
        let path = format!("{}{}", self.up, page(suite));
        escape::link(text, &path, &format!("{file} of {suite}"))
    }
}

/// `shown, 41.56 points, 95 % interval [36.25, 47.00]`
pub fn claim(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let (suite, id) = (context.suite(argument(args, 0))?, argument(args, 1));
    let judged = suite.verdicts.iter().find(|judged| judged.id == id);
    let judged = judged.ok_or_else(|| {
        let known: Vec<&str> = suite.verdicts.iter().map(|j| j.id.as_str()).collect();
        let message = format!(
            "the suite `{}` has no claim `{id}`; it has {}",
            suite.name().shown(),
            known.join(", ").shown()
        );
        Error::new(Kind::Run, message)
    })?;
    let interval = match verdicts::interval(judged) {
        none if none.is_empty() => none,
        interval => format!(", {} {interval}", verdicts::INTERVAL),
    };
    let (verdict, value) = (judged.verdict.word(), verdicts::value(judged));
    let text = escape::markdown(&format!("{verdict}, {value}{interval}"));
    Ok(context.cite_suite(&suite.name(), &text, VERDICTS))
}

/// Every claim with its verdict.
pub fn verdicts(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let suite = context.suite(argument(args, 0))?;
    let row = |judged: &Judged| {
        let cells = verdicts::row(judged);
        let mut cells: Vec<String> = cells.iter().map(|c| escape::markdown(c)).collect();
        if let Some(verdict) = cells.get_mut(verdicts::VERDICT) {
            *verdict = context.cite_suite(&suite.name(), &format!("**{verdict}**"), VERDICTS);
        }
        cells
    };
    let rows: Vec<Vec<String>> = suite.verdicts.iter().map(row).collect();
    let header = verdicts::HEADER.map(str::to_owned);
    Ok(table::words(&header, &rows))
}

/// Top-1 of each member by frame count, over its seeds.
pub fn members(context: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let suite = context.suite(argument(args, 0))?;
    for member in &suite.record.members {
        context.run(&member.run)?;
    }
    let mut table = results::of_members(suite)?;
    for row in &mut table.rows {
        for cell in row.iter_mut() {
            // In lines: intervals and operations at several frame counts beside each other are wider than a page.
            *cell = escape::markdown(cell)
                .replace(" \\[", "<br>\\[")
                .replace(" / ", " /<br>");
        }
        for cell in row.iter_mut().skip(1) {
            *cell = context.cite_suite(&suite.name(), cell, RECORD);
        }
    }
    let text = table::markdown(&table.header, &table.rows);
    Ok(format!("{text}\n{}\n", escape::markdown(&table.note)))
}
