//! Raw members → resolved ones: each laid together, decoded, resolved and checked as an experiment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::base::{Bases, Broken};
use super::grid::{self, Choice};
use super::{Member, raw};
use crate::base::limits;
use crate::spec;
use crate::spec::decode::Decoder;
use crate::spec::examine::{ExaminedFile, Folder};
use crate::spec::experiment::Experiment;
use crate::spec::overlay::{self, Base};
use crate::spec::report::{MOST_KEPT, Mistake};
use crate::spec::settings::Settings;
use crate::spec::syntax::{Node, Span};

/// The members of a suite, and all that is wrong with them.
#[derive(Default)]
pub struct Resolved {
    pub members: Vec<Member>,
    /// Index in the file of each member.
    pub origins: Vec<usize>,
    /// Names of the file's members that could not be resolved.
    pub broken: BTreeSet<String>,
    pub mistakes: Vec<Mistake>,
    pub warnings: Vec<Mistake>,
    /// Experiment files in which something was found.
    pub files: Vec<ExaminedFile>,
    /// Where the settings are, if there are any.
    settings: Option<Span>,
}

impl Resolved {
    /// Settings may make one experiment of two members, which are then compared with themselves.
    pub fn warn_of_equal_members(&mut self) {
        let Some(place) = &self.settings else {
            return;
        };
        let mut known: BTreeMap<String, &str> = BTreeMap::new();
        for Member {
            name, experiment, ..
        } in &self.members
        {
            let first = known.entry(experiment.identity()).or_insert(name);
            if *first != name {
                let what = format!("with these settings `{first}` and `{name}` are one experiment");
                let found = Mistake::new(what).label(place.clone(), "the same for every member");
                self.warnings.push(found);
            }
        }
    }
}

/// Everything that `raw` names. `text` is the suite's, `decoder` knows its places.
pub fn resolve(
    raw: &raw::Suite,
    text: &str,
    folder: Folder<'_>,
    settings: &Settings,
    decoder: &Decoder,
) -> Resolved {
    let settings = settings.moved(text.len() + 1);
    let mut bases = Bases::new(folder, settings.end());
    let mut resolved = Resolved {
        settings: (!settings.is_empty()).then(|| settings.whole()),
        ..Resolved::default()
    };
    for (index, member) in raw.members.iter().enumerate() {
        let path = format!("members[{index}]");
        let place = |field: &str| {
            let own = format!("{path}.{field}");
            // What a member leaves out may stand at the suite.
            let places = [own.as_str(), field, &path].map(|path| decoder.spans.get(path));
            places
                .into_iter()
                .flatten()
                .next()
                .cloned()
                .unwrap_or_default()
        };
        let failed = |field: &str| decoder.failed.contains(&format!("{path}.{field}"));
        let undecoded = ["experiment", "with", "grid"].into_iter().any(failed);
        if decoder.incomplete || undecoded {
            resolved.broken.insert(member.name.clone());
            continue;
        }
        let work = Work {
            raw: member,
            seeds: seeds(member, raw),
            text,
            folder: folder.path,
            settings: &settings,
            name: place("name"),
            experiment: place("experiment"),
        };
        let before = resolved.mistakes.len();
        add_new(
            &mut resolved.mistakes,
            work.seeds_mistake(place("seeds")).into_iter(),
        );
        let complete = work.resolve(&mut bases, index, &mut resolved);
        if !complete || resolved.mistakes.len() > before {
            resolved.broken.insert(member.name.clone());
        }
    }
    resolved.files = bases.examined;
    resolved
}

/// A member's own seeds, else the suite's; no more than it takes to see that there are too many.
fn seeds(member: &raw::Member, suite: &raw::Suite) -> Option<Vec<u64>> {
    let most = limits::SEEDS.most as usize + 1;
    let mut seeds = member.seeds.0.clone().or(suite.seeds.0.clone())?;
    seeds.truncate(most);
    Some(seeds)
}

/// One member of the file, under work.
struct Work<'a> {
    raw: &'a raw::Member,
    seeds: Option<Vec<u64>>,
    /// Of the suite.
    text: &'a str,
    folder: &'a Path,
    /// With their places behind the suite's.
    settings: &'a Settings,
    /// Places of the fields.
    name: Span,
    experiment: Span,
}

/// A decoded experiment, and where its relative paths start.
struct Start<'a> {
    node: &'a Node,
    base: Option<&'a Base>,
    folder: PathBuf,
}

impl Work<'_> {
    /// Adds every combination of the grid. False where there is nothing to start from.
    fn resolve(&self, bases: &mut Bases<'_>, index: usize, resolved: &mut Resolved) -> bool {
        let start = match &self.raw.experiment {
            raw::Origin::Inline(node) => Start {
                node,
                base: None,
                folder: self.folder.to_path_buf(),
            },
            raw::Origin::File(path) => match bases.get(path, &self.experiment) {
                Ok(base) => Start {
                    node: &base.node,
                    base: Some(base),
                    folder: base.folder.clone(),
                },
                Err(Broken::Examined(_)) => return false,
                Err(Broken::Unreadable(why)) => {
                    let mistake = Mistake::new(why)
                        .label(self.experiment.clone(), "no such experiment")
                        .hint("paths start at the folder of the suite");
                    resolved.mistakes.push(mistake);
                    return false;
                }
            },
        };
        let room = (limits::MEMBERS.most as usize).saturating_sub(resolved.members.len());
        let choices = match &self.raw.grid.0 {
            None => Ok(vec![Choice::default()]),
            Some(grid) => grid::combinations(&grid.0, room),
        };
        match choices {
            Ok(choices) => {
                let axes = choices.iter().take(1).flat_map(|choice| &choice.axes);
                let fixed = axes.filter_map(|(path, _)| self.fixed(path));
                add_new(&mut resolved.mistakes, fixed);
                for choice in &choices {
                    let member = self.member(&start, choice, resolved);
                    resolved.members.push(member);
                    resolved.origins.push(index);
                }
                true
            }
            Err(mistakes) => {
                resolved.mistakes.extend(mistakes);
                false
            }
        }
    }

    /// The mistake of a setting that gives an axis of the grid one value: all alternatives would be one.
    fn fixed(&self, axis: &str) -> Option<Mistake> {
        let way: Vec<&str> = axis.split('.').collect();
        let mut settings = self.settings.all().iter();
        let setting = settings.find(|setting| overlay::replaces(&setting.node, &way))?;
        let what = format!("the grid of `{}` varies `{axis}`", self.raw.name);
        let found = Mistake::new(what).label(setting.place.clone(), "its members would be one");
        Some(found.hint("set it in an experiment, or write another grid"))
    }

    fn seeds_mistake(&self, place: Span) -> Option<Mistake> {
        let seeds = self.seeds.as_ref()?;
        let distinct: BTreeSet<&u64> = seeds.iter().collect();
        let (message, label) = match seeds.len() {
            0 => (
                "a member runs once for each seed, and there is none",
                "no seed",
            ),
            n if n > distinct.len() => ("a seed is given twice", "it would be the same run"),
            n if n > limits::SEEDS.most as usize => {
                ("a member with more seeds than anybody runs", "at most 1000")
            }
            _ => return None,
        };
        Some(Mistake::new(message).label(place, label))
    }

    fn member(&self, start: &Start<'_>, choice: &Choice, resolved: &mut Resolved) -> Member {
        let with = self.raw.with.0.iter().map(|with| &with.0);
        let overs = with.chain(&choice.over).chain(self.settings.nodes());
        let node = overs.fold(start.node.clone(), |node, over| overlay::lay(&node, over));
        let mut experiment = self.decode(&node, start, resolved);
        let seeds = self.seeds.clone().unwrap_or(vec![experiment.seed]);
        experiment.seed = seeds.first().copied().unwrap_or(experiment.seed);
        let (name, variant) = self.variant(choice);
        Member {
            name,
            seeds,
            experiment,
            variant,
            base: start.folder.clone(),
        }
    }

    /// The experiment of a tree, with its mistakes and warnings where the suite is their cause.
    fn decode(&self, node: &Node, start: &Start<'_>, resolved: &mut Resolved) -> Experiment {
        let (experiment, mistakes, mut warnings) = spec::experiment(node, Decoder::default());
        warnings.retain(|warning| overlay::concerns_overlay(warning, start.base));
        let own =
            |found: Mistake| overlay::in_overlay(found, start.base, (&self.name, "in this member"));
        // Others may have the same mistakes, which are kept once.
        if !mistakes.is_empty() {
            resolved.broken.insert(self.raw.name.clone());
        }
        add_new(&mut resolved.mistakes, mistakes.into_iter().map(own));
        add_new(&mut resolved.warnings, warnings.into_iter().map(own));
        experiment
    }

    /// Name of a combination, and its alternatives by path, as written.
    fn variant(&self, choice: &Choice) -> (String, BTreeMap<String, String>) {
        let written = |node: &Node| {
            let text = self.text.get(node.span.clone()).unwrap_or_default();
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let axes = choice.axes.iter();
        let axes: Vec<(&str, String)> = axes.map(|(p, node)| (p.as_str(), written(node))).collect();
        let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
        let distinct: BTreeSet<String> = axes.iter().map(|(path, _)| last(path)).collect();
        let label = |path: &str| match distinct.len() == axes.len() {
            true => last(path),
            false => path.to_owned(),
        };
        let labels = axes
            .iter()
            .map(|(path, value)| format!("{}={value}", label(path)));
        let labels = labels.collect::<Vec<_>>().join(",");
        let name = match labels.is_empty() {
            true => self.raw.name.clone(),
            false => format!("{}/{labels}", self.raw.name),
        };
        let owned = |(path, value): (&str, String)| (path.to_owned(), value);
        (name, axes.into_iter().map(owned).collect())
    }
}

/// The combinations of a grid share most of their mistakes: each is told once.
fn add_new(known: &mut Vec<Mistake>, found: impl Iterator<Item = Mistake>) {
    for mistake in found {
        if known.len() < MOST_KEPT && !known.contains(&mistake) {
            known.push(mistake);
        }
    }
}
