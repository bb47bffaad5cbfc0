//! `ffn new`

use std::path::{Path, PathBuf};

use super::options::check_output;
use crate::base::{Error, Kind, Result, Shown, count, files, limits, terminal};
use crate::cluster::quote;
use crate::data::discover::{self, Decoder, Found, Layout, Lengths, Look};
use crate::data::{config, roots};
use crate::plan;
use crate::spec::examples;
use crate::spec::recipe::{self, Origin, Own, Recipe, Weights};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the experiment, and of its data: `mine` is written into `mine.ron`, and its folder is what FFN_DATA_MINE says.
    #[arg(required_unless_present = "list")]
    name: Option<String>,

    /// Whose recipe it has: an experiment of `--list`, or a file.
    #[arg(long, value_name = "EXPERIMENT", required_unless_present = "list")]
    from: Option<String>,

    /// Folder of the clips, which is looked at. Else `FFN_DATA_<NAME>` or the configuration file says where it is. It is not written
    /// into the experiment.
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,

    /// The layout of the folder, where it has several.
    #[arg(long, value_enum)]
    layout: Option<Layout>,

    /// The lists of training and validation, where their names do not tell: paths below the folder of the new file or of the data.
    #[arg(long, num_args = 2, value_names = ["TRAIN", "VALIDATION"])]
    lists: Option<Vec<String>>,

    /// The file to write instead of `NAME.ron`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Replace a file that is there.
    #[arg(long)]
    force: bool,

    /// List the experiments of this program.
    #[arg(long, exclusive = true)]
    list: bool,
}

pub fn run(args: Args) -> Result<()> {
    let (Some(name), Some(from)) = (&args.name, &args.from) else {
        return list();
    };
    recipe::check_name(name)?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| format!("{name}.ron").into());
    check_output(&out, args.force)?;
    let base = folder_of(&out);
    let source = Source::find(from)?;
    let root_name = recipe::root_name(name);
    let root = root(&root_name, args.data_root.as_deref())?;
    let found = discover::look(&Look {
        root: &root,
        base,
        name: &root_name,
        pins: &format!("{name}.pins.ron"),
        layout: args.layout,
        lists: args.lists.clone().and_then(|lists| lists.try_into().ok()),
    })?;
    let recipe = source.origin.on(&Own {
        name,
        data: &found.data,
        layout: found.layout.words(),
        lengths: &found.lengths.frames,
        weights: source.weights(base),
    })?;
    plan::fits(&recipe.experiment)?;
    files::write_atomic(&out, recipe.text.as_bytes())?;
    tell_data(&root, &found)?;
    tell_recipe(&source.origin, &recipe, &found)?;
    tell_next(&out, args.data_root.as_deref())
}

/// The experiments of the program, one line each.
fn list() -> Result<()> {
    let rows = examples::experiments().map(|example| {
        let origin = Origin::parse(example.name, example.text)?;
        Ok((example.name, origin.experiment.summary()))
    });
    let rows = rows.collect::<Result<Vec<_>>>()?;
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .try_for_each(|(name, summary)| terminal::line(format_args!("{name:width$}  {summary}")))
}

/// The folder of a file, as a path that can be looked at.
fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn root(name: &str, flag: Option<&Path>) -> Result<PathBuf> {
    roots::told(name, flag)?.ok_or_else(|| {
        Error::new(Kind::Usage, "nothing says where the clips are").hint(format!(
            "say it in one of three ways:\n{}",
            roots::ways(name, config::path().as_deref())
        ))
    })
}

/// The experiment whose recipe is taken.
struct Source {
    origin: Origin,
    /// The folder of its file; none of an experiment of the program.
    folder: Option<PathBuf>,
}

impl Source {
    fn find(from: &str) -> Result<Self> {
        let path = Path::new(from);
        let is_file = from.ends_with(".ron") || from.contains('/');
        if !is_file {
            let origin = Origin::parse(from, examples::find(from)?)?;
            return Ok(Self {
                origin,
                folder: None,
            });
        }
        let text = files::read_text(path, limits::SUITE)?;
        let who = format!("`{}`", path.shown());
        let text = examples::only_experiment(&who, &text)?;
        limits::EXPERIMENT.check(Kind::Experiment, &who, text.len() as u64)?;
        Ok(Self {
            origin: Origin::parse(&path.shown(), text)?,
            folder: Some(folder_of(path).to_owned()),
        })
    }

    /// The initial weights from the new file's folder: where they were, or in the recipe's folder if that is below.
    fn weights(&self, base: &Path) -> Option<Weights> {
        let file = self.origin.weights()?;
        if base.join(file).is_file() {
            return Some(Weights {
                file: file.to_owned(),
                is_there: true,
            });
        }
        let theirs = self
            .folder
            .as_ref()
            .and_then(|folder| below(&folder.join(file), base));
        Some(Weights {
            is_there: theirs.is_some(),
            file: theirs.unwrap_or_else(|| file.to_owned()),
        })
    }
}

/// The path of a file from a folder that it is in.
fn below(file: &Path, folder: &Path) -> Option<String> {
    let file = file.canonicalize().ok().filter(|file| file.is_file())?;
    let below = file.strip_prefix(folder.canonicalize().ok()?).ok()?;
    Some(below.to_str()?.replace('\\', "/"))
}

fn tell_data(root: &Path, found: &Found) -> Result<()> {
    let Found {
        layout,
        listing,
        lengths,
        ..
    } = found;
    terminal::line(format_args!("`{}`: {}", root.shown(), layout.words()))?;
    terminal::line(format_args!("  classes     {}", listing.classes.len()))?;
    terminal::line(format_args!(
        "  training    {}",
        count(listing.train.len(), "clip")
    ))?;
    terminal::line(format_args!(
        "  validation  {}",
        count(listing.validation.len(), "clip")
    ))?;
    terminal::line(format_args!("  frames      {}", frames(lengths)))?;
    terminal::line(format_args!("  decoded by  {}", decoder(&lengths.decoder)))
}

fn frames(lengths: &Lengths) -> String {
    let looked = lengths.frames.len();
    let of = match looked == lengths.clips {
        true => format!("all {looked} clips"),
        false => format!("{looked} of {} clips", lengths.clips),
    };
    match lengths.stats() {
        None => "unknown".to_owned(),
        Some(stats) => format!(
            "the shortest {}, the median {}, the longest {} ({of})",
            stats.min, stats.median, stats.max
        ),
    }
}

fn decoder(decoder: &Decoder) -> &str {
    match decoder {
        Decoder::Images => "this program (JPEG and PNG)",
        Decoder::Vp9 => "this program (VP9 in WebM)",
        Decoder::Ffmpeg => "ffmpeg, which is there",
        Decoder::NoFfmpeg(_) => "ffmpeg, which must be installed",
    }
}

fn tell_recipe(origin: &Origin, recipe: &Recipe, found: &Found) -> Result<()> {
    let summary = origin.experiment.summary();
    terminal::line(format_args!("\nrecipe of `{}`: {summary}", origin.name))?;
    for change in &recipe.changes {
        terminal::line(format_args!("  {change}"))?;
    }
    let problem = match &found.lengths.decoder {
        Decoder::NoFfmpeg(problem) => Some(problem.clone()),
        _ => None,
    };
    let unreadable = found.lengths.unreadable.iter();
    let unreadable = unreadable.map(|clip| format!("a clip cannot be read: {clip}"));
    let notes = found.notes.iter().cloned().chain(problem).chain(unreadable);
    for note in notes.chain(recipe.advice.iter().cloned()) {
        terminal::line(format_args!("\nnote: {note}"))?;
    }
    Ok(())
}

/// The commands that come next, to copy.
fn tell_next(out: &Path, root: Option<&Path>) -> Result<()> {
    let file = quote::word(&out.to_string_lossy());
    let root = root.map(|root| quote::word(&root.to_string_lossy()));
    let root = root.map_or(String::new(), |root| format!(" --data-root {root}"));
    terminal::line(format_args!("\nwritten: {}\n\nnext:", out.shown()))?;
    let commands = [
        (format!("ffn check {file}"), "every mistake at once"),
        (format!("ffn plan {file}"), "parameters, memory, steps"),
        (
            format!("ffn data pin {file}{root}"),
            "read every file once, and write its hash",
        ),
        (
            format!("ffn data show {file}{root} --out sheets"),
            "what each branch sees, as images",
        ),
        (format!("ffn run {file}{root}"), "train and evaluate"),
    ];
    let width = commands
        .iter()
        .map(|(command, _)| command.chars().count())
        .max()
        .unwrap_or(0);
    commands.iter().try_for_each(|(command, what)| {
        terminal::line(format_args!("  {command:width$}  # {what}"))
    })
}
