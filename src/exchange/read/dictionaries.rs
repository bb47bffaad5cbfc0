//! Which of a file's dictionaries is the state dictionary.
//!
//! Training programs keep it under some name beside everything else, and often two of them: the weights as trained and
//! their running average (EMA). One is taken, the others are named.

use std::collections::BTreeSet;

use super::pickle::{Id, Object, Pickle};
use super::{Dictionary, Error, Result, fault, printable};

/// Under what keys training programs keep the state dictionary of the model as it was trained.
const NESTS: [&str; 6] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "module",
];
/// How deep one is looked for.
const MAX_DEPTH: usize = 4;
/// How many dictionaries are looked into for another. A checkpoint has some dozens.
const MAX_VISITS: usize = 10_000;

/// A dictionary of the file and how one comes to it.
#[derive(Debug, Clone)]
pub struct Way {
    /// From the top on: its own key is empty.
    pub steps: Vec<Step>,
    /// Its keys, with dots between them; empty for the top.
    pub name: String,
}

#[derive(Debug, Clone)]
pub struct Step {
    pub key: String,
    pub id: Id,
}

impl Way {
    fn top(pickle: &Pickle<'_>) -> Self {
        let (key, id) = (String::new(), pickle.root);
        Self {
            steps: vec![Step { key, id }],
            name: String::new(),
        }
    }

    pub fn id(&self) -> Id {
        self.steps.last().map_or(0, |step| step.id)
    }

    fn down(&self, key: &str, id: Id) -> Self {
        let key = printable(key);
        let name = match self.name.as_str() {
            "" => key.clone(),
            name => format!("{name}.{key}"),
        };
        let mut steps = self.steps.clone();
        steps.push(Step { key, id });
        Self { steps, name }
    }
}

/// The dictionary called `take`; without one, that under the usual names, or else the only one of its size. Beside it
/// the others that may hold a model.
pub fn choose(pickle: &Pickle<'_>, take: Option<&str>) -> Result<(Way, Vec<Dictionary>)> {
    let mut found = all(pickle);
    let usual = usual(pickle);
    let asked = take.and_then(|take| found.iter().position(|(way, _)| way.name == take));
    let taken = match asked {
        Some(asked) => found.swap_remove(asked).0,
        None if tensors(pickle, usual.id()) > 0 => usual,
        None => only(&found).ok_or_else(|| none(pickle, &usual, &found))?,
    };
    let enough = tensors(pickle, taken.id());
    let mut others: Vec<Dictionary> = found
        .into_iter()
        .filter(|(way, tensors)| way.id() != taken.id() && 2 * tensors >= enough)
        .map(|(Way { name, .. }, tensors)| Dictionary { name, tensors })
        .collect();
    others.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((taken, others))
}

/// Down from the top as long as there is a dictionary of a usual name.
fn usual(pickle: &Pickle<'_>) -> Way {
    let mut way = Way::top(pickle);
    for _ in 0..MAX_DEPTH {
        let nest = NESTS.into_iter().find_map(|key| {
            let id = pickle.entry(way.id(), key)?;
            (!pickle.entries(id).is_empty()).then_some((key, id))
        });
        let Some((key, id)) = nest else { break };
        way = way.down(key, id);
    }
    way
}

/// Every dictionary with tensors, and how many it has.
fn all(pickle: &Pickle<'_>) -> Vec<(Way, usize)> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let mut open = std::collections::VecDeque::from([Way::top(pickle)]);
    while let Some(way) = open.pop_front() {
        match tensors(pickle, way.id()) {
            0 => {}
            count => found.push((way.clone(), count)),
        }
        if way.steps.len() > MAX_DEPTH {
            continue;
        }
        for &(key, value) in pickle.entries(way.id()) {
            let inner = matches!(pickle.get(value), Object::Dict(_));
            if let (Some(key), true) = (pickle.text(key), inner && seen.len() < MAX_VISITS)
                && seen.insert(value)
            {
                open.push_back(way.down(key, value));
            }
        }
    }
    found
}

fn tensors(pickle: &Pickle<'_>, dict: Id) -> usize {
    let is_tensor = |(key, value): &&(Id, Id)| {
        pickle.text(*key).is_some() && matches!(pickle.get(*value), Object::Tensor(..))
    };
    pickle.entries(dict).iter().filter(is_tensor).count()
}

/// The dictionary that alone has as many tensors as a model would.
fn only(found: &[(Way, usize)]) -> Option<Way> {
    match large(found).as_slice() {
        [way] => Some((*way).clone()),
        _ => None,
    }
}

/// Those with at least half as many tensors as the one with the most.
fn large(found: &[(Way, usize)]) -> Vec<&Way> {
    let most = found.iter().map(|(_, tensors)| *tensors).max();
    let most = most.unwrap_or_default();
    let large = found.iter().filter(|(_, tensors)| 2 * tensors >= most);
    large.map(|(way, _)| way).collect()
}

/// Why none was chosen.
fn none(pickle: &Pickle<'_>, usual: &Way, found: &[(Way, usize)]) -> Error {
    const LISTED: usize = 8;
    let candidates = large(found);
    if !candidates.is_empty() {
        let names = candidates.iter().take(LISTED);
        let names: Vec<String> = names.map(|way| format!("`{}`", way.name)).collect();
        let what = format!(
            "{} dictionaries of tensors, none of a usual name: {}",
            candidates.len(),
            names.join(", ")
        );
        return fault(what).hint("`ffn import --take NAME` reads one of them");
    }
    let entries = pickle.entries(usual.id());
    let mut held: Vec<String> = entries
        .iter()
        .take(LISTED)
        .map(|&(key, value)| format!("{}: {}", pickle.name(key), pickle.get(value).describe()))
        .collect();
    if entries.len() > LISTED {
        held.push(format!("{} more", entries.len() - LISTED));
    }
    let held = match (held.is_empty(), usual.name.as_str()) {
        (true, _) => format!("it holds {}", pickle.get(usual.id()).describe()),
        (_, "") => format!("it holds {}", held.join(", ")),
        (_, name) => format!("`{name}` holds {}", held.join(", ")),
    };
    let objects = |id: Id| matches!(pickle.get(id), Object::Instance(_));
    let whole = objects(usual.id()) || entries.iter().any(|&(_, value)| objects(value));
    let hint = match whole {
        true => "objects of other programs are not made; where one is a whole model, load it there and torch.save its state_dict()".to_owned(),
        false => format!(
            "expected tensors by name at its top or in a dictionary, of which the usual names are {}",
            NESTS.join(", ")
        ),
    };
    fault(format!("no state dictionary of tensors: {held}")).hint(hint)
}
