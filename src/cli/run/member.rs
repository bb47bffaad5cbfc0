//! `--member` and `--seed`: one member of a suite, while others run elsewhere.

use crate::base::{Error, Kind, Result, Shown};
use crate::spec::suite::Member;
use crate::spec::{Document, LoadedSuite, Suite};

#[derive(Debug, Clone, Default, clap::Args)]
pub struct MemberOptions {
    /// Run this member of the suite alone, of a grid as `name/field=value`; others may run elsewhere. No claim is judged.
    #[arg(long, value_name = "NAME")]
    member: Option<String>,

    /// Of the member's seeds this one alone.
    #[arg(long, value_name = "N", requires = "member")]
    seed: Option<u64>,
}

impl MemberOptions {
    pub fn is_given(&self) -> bool {
        self.member.is_some()
    }

    /// The one suite that is given, with nothing in it but the runs that are meant; `None` where all are.
    pub fn choose(&self, documents: &[Document]) -> Result<Option<Vec<Document>>> {
        let Some(name) = &self.member else {
            return Ok(None);
        };
        let [Document::Suite(loaded)] = documents else {
            let message = "--member names a member of one suite, and the files are not one suite";
            return Err(
                Error::new(Kind::Usage, message).hint("an experiment runs without --member")
            );
        };
        let suite = &loaded.suite;
        let member = suite.member(name).ok_or_else(|| no_member(name, suite))?;
        let member = self.with_seed(member)?;
        Ok(Some(vec![Document::Suite(LoadedSuite {
            suite: Suite {
                members: vec![member],
                ..suite.clone()
            },
            warnings: Vec::new(),
        })]))
    }

    fn with_seed(&self, member: &Member) -> Result<Member> {
        let seeds = match self.seed {
            None => member.seeds.clone(),
            Some(seed) if member.seeds.contains(&seed) => vec![seed],
            Some(seed) => {
                let message = format!("the member `{}` has no seed {seed}", member.name.shown());
                let known = listed(member.seeds.iter());
                return Err(Error::new(Kind::Usage, message).hint(format!("it has {known}")));
            }
        };
        Ok(Member {
            seeds,
            ..member.clone()
        })
    }
}

fn no_member(name: &str, suite: &Suite) -> Error {
    let message = format!(
        "the suite `{}` has no member `{}`",
        suite.name.shown(),
        name.shown()
    );
    let known = listed(suite.members.iter().map(|member| member.name.shown()));
    Error::new(Kind::Usage, message).hint(format!("it has {known}"))
}

/// The first of several, and how many there are besides.
fn listed<T: ToString>(all: impl ExactSizeIterator<Item = T>) -> String {
    const MOST: usize = 30;
    let more = all.len().saturating_sub(MOST);
    let shown: Vec<String> = all.take(MOST).map(|one| one.to_string()).collect();
    match more {
        0 => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}
