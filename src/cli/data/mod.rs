//! `ffn data`

mod certify;
mod compare;
mod frames;
mod pack;
mod pin;
mod show;
mod stats;
mod verify;

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::options::SetOptions;
use crate::base::{Error, Kind, Result, Shown, terminal};
use crate::data::listing::{Fault, counted, list_all};
use crate::data::look::{self, Surplus};
use crate::data::open::{Listed, OpenOptions};
use crate::data::{Dataset, Split, store};
use crate::spec::{Data, Document, Loaded, Missing, Suite, Unreadable};
use crate::train::progress::Preparation;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Hash every video and write the pins that an experiment names.
    Pin(pin::Args),
    /// Hold every video's hash against the pins.
    Verify(verify::Args),
    /// Count clips by class, and tell their lengths and sizes.
    Stats(stats::Args),
    /// Write contact sheets of what each branch sees after sampling and augmentation.
    Show(show::Args),
    /// Write what this copy of the data is: a file to compare with another laboratory's.
    Certify(certify::Args),
    /// Say which videos differ between two certificates, and how.
    Compare(compare::Args),
    /// Write the decoded frames into tar files, a data set's folder that is read without decoding videos.
    Pack(pack::Args),
    /// Decode frames of one video or frame folder: print their hashes, or write them as PNG.
    Frames(frames::Args),
}

pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Pin(args) => pin::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Stats(args) => stats::run(args),
        Command::Show(args) => show::run(args),
        Command::Certify(args) => certify::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Pack(args) => pack::run(args),
        Command::Frames(args) => frames::run(args),
    }
}

/// An experiment whose data are looked at.
#[derive(Debug, clap::Args)]
pub struct Selection {
    /// The experiment whose data are meant; for `pin` also a suite, whose members' data are pinned one after another.
    pub experiment: PathBuf,

    #[command(flatten)]
    set: SetOptions,

    /// Folder of the data set, or of a pack on an object store: `s3://BUCKET/FOLDER`, `gs://`, `az://`, `https://` (in a program that was
    /// built with `--features object-store`). Else `FFN_DATA_<NAME>` or the configuration file says where it is.
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
}

/// An experiment and its data, which were found but not held against the pins.
pub struct Found {
    pub loaded: Loaded,
    pub dataset: Dataset,
    preparation: Preparation,
}

/// An experiment and what the lists of its data say, unchecked.
pub struct Lists {
    loaded: Loaded,
    pub content: Listed,
    preparation: Preparation,
}

impl Selection {
    /// Reads the lists.
    pub fn list(&self) -> Result<Lists> {
        self.list_of(self.set.load(&self.experiment)?)
    }

    /// Reads the lists, of videos that are declared missing too.
    pub fn list_all(&self) -> Result<Lists> {
        let mut loaded = self.set.load(&self.experiment)?;
        if let Data::VideoList(data) = &mut loaded.experiment.data {
            data.missing = Missing::Fail;
        }
        self.list_of(loaded)
    }

    fn list_of(&self, loaded: Loaded) -> Result<Lists> {
        let preparation = Preparation::new();
        let content = Listed::read(
            &loaded.experiment,
            &OpenOptions {
                root: self.data_root.clone(),
                cache: None,
                base: &loaded.base,
                unpinned: true,
                progress: &|what, done, total| preparation.tell(what, done, total),
            },
        )?;
        Ok(Lists {
            loaded,
            content,
            preparation,
        })
    }

    /// Refuses data sets that cannot be pinned by one command.
    fn check_together(&self, sets: &[Loaded]) -> Result<()> {
        let data = |set: &Loaded| set.experiment.data.clone();
        let roots: BTreeSet<String> = sets
            .iter()
            .map(|set| data(set).root_name().to_owned())
            .collect();
        if self.data_root.is_some() && roots.len() > 1 {
            let roots: Vec<String> = roots.iter().map(|root| root.shown()).collect();
            let message = format!(
                "--data-root is one folder, and the suite has data of several roots: {}",
                roots.join(", ")
            );
            return Err(Error::new(Kind::Usage, message)
                .hint("`FFN_DATA_<NAME>` or the configuration file says where each is"));
        }
        let mut known = BTreeSet::new();
        for set in sets {
            let pins = set.base.join(data(set).pins());
            if !known.insert(pins.clone()) {
                let message = format!(
                    "two members have other data under the same pins `{}`",
                    pins.shown()
                );
                return Err(Error::new(Kind::Usage, message)
                    .hint("`ffn diff` says in what they differ; pins of their own, `data: (pins: ...)`, tell them apart"));
            }
        }
        Ok(())
    }

    /// Reads and checks the lists: no video is missing.
    pub fn find(&self) -> Result<Found> {
        self.list()?.checked()
    }

    /// As [`find`](Self::find); of a suite, for each data set of its members.
    pub fn find_each(&self) -> Result<Vec<Found>> {
        let loaded = match self.set.load_document(&self.experiment)? {
            Document::Experiment(loaded) => vec![*loaded],
            Document::Suite(loaded) => {
                let sets = data_sets(&loaded.suite);
                self.check_together(&sets)?;
                sets
            }
        };
        let found = loaded.into_iter().map(|one| self.list_of(one)?.checked());
        found.collect()
    }
}

impl Lists {
    /// The data set, of which no video is missing.
    fn checked(self) -> Result<Found> {
        self.content.listing.check(self.content.expected)?;
        self.found()
    }

    /// The data set of lists that were checked.
    pub fn found(self) -> Result<Found> {
        Ok(Found {
            dataset: Dataset::of(self.content, &self.loaded.experiment)?,
            loaded: self.loaded,
            preparation: self.preparation,
        })
    }
}

/// For each data set of a suite an experiment on it, in the order of its members.
fn data_sets(suite: &Suite) -> Vec<Loaded> {
    let mut sets: Vec<Loaded> = Vec::new();
    for member in &suite.members {
        let (base, data) = (&member.base, &member.experiment.data);
        let is_known = |set: &Loaded| set.base == *base && set.experiment.data == *data;
        if !sets.iter().any(is_known) {
            sets.push(Loaded {
                experiment: member.experiment.clone(),
                base: base.clone(),
                warnings: Vec::new(),
            });
        }
    }
    sets
}

/// Says of data on an object store what was not looked at.
fn tell_unfetched(dataset: &Dataset) -> Result<()> {
    match store::is_address(&dataset.root) {
        false => Ok(()),
        true => terminal::line(format_args!(
            "the tar files of `{}` were not fetched: each is held against its hash when it arrives; `ffn data verify --full` fetches all",
            dataset.root.shown()
        )),
    }
}

/// What the files of a data set are by their first bytes.
pub struct Seen {
    /// Videos that cannot be used.
    pub damaged: Vec<Fault>,
    /// Damaged videos that training leaves out, as the experiment declares.
    pub left_out: Vec<Fault>,
    pub surplus: Vec<Surplus>,
}

impl Seen {
    /// Says what does not stop anything: lists that name fewer images than there are, and what training leaves out.
    pub fn tell(&self) -> Result<()> {
        let surplus: Vec<String> = self.surplus.iter().map(Surplus::describe).collect();
        let left_out: Vec<String> = self.left_out.iter().map(Fault::describe).collect();
        let texts = [
            counted(
                "frame folders with more images than their lists say",
                &surplus,
            ),
            counted(
                "damaged videos, which training leaves out (`unreadable: Skip`)",
                &left_out,
            ),
        ];
        texts.into_iter().flatten().try_for_each(terminal::line)
    }

    /// Refuses files that are no videos.
    pub fn check(&self) -> Result<()> {
        let damaged: Vec<String> = self.damaged.iter().map(Fault::describe).collect();
        match counted("files that are no videos, or not whole", &damaged) {
            None => Ok(()),
            Some(problem) => Err(Error::new(Kind::Data, problem).hint(format!(
                "copy, download or extract them again; how images are named, `template` and `first` of the experiment say{}",
                list_all(damaged.len())
            ))),
        }
    }
}

impl Found {
    /// Looks at the start of every file.
    pub fn look(&self) -> Seen {
        let look = look::at(&self.dataset, &|what, done, total| {
            self.tell(what, done, total)
        });
        let skips = self.loaded.experiment.data.unreadable() == Unreadable::Skip;
        let is_left_out = |fault: &Fault| skips && fault.is_damage && fault.split == Split::Train;
        let (left_out, damaged) = look.faults.into_iter().partition(is_left_out);
        Seen {
            damaged,
            left_out,
            surplus: look.surplus,
        }
    }

    fn pins(&self) -> PathBuf {
        self.loaded.base.join(self.loaded.experiment.data.pins())
    }

    fn tell(&self, what: &str, done: usize, total: usize) {
        self.preparation.tell(what, done, total);
    }
}
