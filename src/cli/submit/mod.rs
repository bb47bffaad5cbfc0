//! `ffn submit`

mod open;

use std::path::{Path, PathBuf};

use clap::Parser;

use super::options::{self, SetOptions};
use super::{Cli, Command, suites};
use crate::base::{Error, Kind, Result, Shown, count, files, limits, terminal};
use crate::cluster::script::{self, LAST, LOGS, Submission};
use crate::cluster::{duration, queue, quote, sbatch};
use crate::data::config;
use crate::spec::{Document, Suite};
use open::Open;

/// The user's own lines, beside the configuration file.
const TEMPLATE: &str = "slurm.sh";

/// Seconds before the time limit at which a run is told, where that is less than a quarter of the limit.
const GRACE: u64 = 300;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment and suite files. What they have in common runs once.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    set: SetOptions,

    /// Folder that holds the runs, on a disk that all nodes see.
    #[arg(long, default_value = "runs", value_name = "DIR")]
    out: PathBuf,

    #[command(flatten)]
    slurm: SlurmOptions,

    /// Lines of the site to put into the scripts (`#SBATCH --account=lab`, `module load ffmpeg`); else those of `slurm.sh`
    /// beside the user's configuration file, where there is one.
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,

    /// Have the last job build the book of this folder, as `ffn book --book DIR` does.
    #[arg(long, value_name = "DIR")]
    book: Option<PathBuf>,

    /// Print the scripts and submit nothing.
    #[arg(long)]
    print: bool,

    /// Flags of `ffn run` for every run: `-- --device cuda --stage '$TMPDIR'`.
    #[arg(last = true, value_name = "RUN FLAGS")]
    run_flags: Vec<String>,
}

/// What a job asks for, as `sbatch` knows it.
#[derive(Debug, clap::Args)]
struct SlurmOptions {
    /// Time limit of a job; a run that needs longer saves, and is put back into the queue until it is finished. As Slurm
    /// writes it: minutes, `8:00:00`, `2-12`.
    #[arg(long, value_name = "TIME")]
    time: Option<String>,

    /// Seconds before the time limit at which a run is told to save and stop: more than one step and one checkpoint take. 300, or
    /// a quarter of --time where that is less.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=65_535))]
    grace: Option<u64>,

    /// Partition of the cluster.
    #[arg(long, value_name = "NAME")]
    partition: Option<String>,

    /// Account that pays.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,

    /// Quality of service.
    #[arg(long, value_name = "NAME")]
    qos: Option<String>,

    /// GPUs and other devices of each run, such as `gpu:1`, on each of its nodes; add `-- --device cuda`.
    #[arg(long, value_name = "LIST")]
    gres: Option<String>,

    /// Processes that compute each run together, to the bytes of one; they share its steps, of which `train.shards` says in how many parts
    /// they are.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = options::count::<usize>)]
    ranks: usize,

    /// Cores of each run, or of each of its ranks, which are its threads and workers too.
    #[arg(long, value_name = "N", value_parser = options::count::<usize>)]
    cpus: Option<usize>,

    /// Memory of each run, such as `16G`.
    #[arg(long, value_name = "SIZE")]
    mem: Option<String>,

    /// Runs at once at most.
    #[arg(long, value_name = "N", value_parser = options::count::<usize>)]
    at_once: Option<usize>,

    /// Another option of `sbatch` for all jobs, such as `--sbatch=--exclude=n3`. Can be repeated.
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    sbatch: Vec<String>,
}

/// Submits what is missing, and the job that judges it, and returns.
pub fn run(args: Args) -> Result<()> {
    let documents = args.set.load_documents(&args.files)?;
    open::check_ranks(&documents, args.slurm.ranks)?;
    let suites: Vec<&Suite> = documents.iter().filter_map(Document::suite).collect();
    let place = absolute(&args.out)?;
    let queue = match args.print {
        true => None,
        false => queue::of(&place),
    };
    let queue = queue.unwrap_or_default();
    let open = Open::of(&args.files, &documents, &args.out, &queue)?;
    let texts = Texts::of(&args, &documents, place)?;
    let submission = texts.submission(&args, &suites);
    if args.print {
        return print(&submission, &open);
    }
    let last = format!("{}{}{LAST}", script::NAME, texts.name);
    let has_last = queue.iter().any(|entry| entry.name == last);
    if open.missing.is_empty() && (open.queued.is_empty() || has_last) {
        return nothing_missing(&open);
    }
    suites::note_all(&suites, &args.out)?;
    let logs = args.out.join(LOGS);
    std::fs::create_dir_all(&logs).map_err(|e| Error::io("make", &logs, &e))?;
    submit(&submission, &open)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io("find", path, &e))
}

/// What a submission refers to.
struct Texts {
    name: String,
    program: PathBuf,
    folder: PathBuf,
    files: Vec<String>,
    flags: Vec<String>,
    run_flags: Vec<String>,
    place: PathBuf,
    options: Vec<String>,
    run_options: Vec<String>,
    grace: u64,
    template: String,
    book: Option<String>,
    strict: bool,
}

impl Texts {
    fn of(args: &Args, documents: &[Document], place: PathBuf) -> Result<Self> {
        let text = |path: &PathBuf| quote::utf8(path).map(str::to_owned);
        let mut flags = vec!["--out".to_owned(), text(&args.out)?];
        flags.extend(args.set.arguments());
        let files: Vec<String> = args.files.iter().map(text).collect::<Result<_>>()?;
        let file = files.first().map_or("", String::as_str);
        let strict = check_flags(file, &flags, &args.run_flags)?;
        let (grace, options, run_options) = args.slurm.directives()?;
        let program = std::env::current_exe().map_err(|error| {
            let message = format!("cannot tell where this program is: {error}");
            Error::new(Kind::Io, message)
        })?;
        Ok(Self {
            name: name(documents),
            program,
            folder: absolute(Path::new("."))?,
            files,
            flags,
            run_flags: args.slurm.run_flags(&args.run_flags),
            place,
            options,
            run_options,
            grace,
            template: template(args.template.as_deref())?,
            book: args.book.as_ref().map(text).transpose()?,
            strict,
        })
    }

    fn submission<'a>(&'a self, args: &'a Args, suites: &[&Suite]) -> Submission<'a> {
        Submission {
            name: &self.name,
            program: &self.program,
            folder: &self.folder,
            files: &self.files,
            flags: &self.flags,
            run_flags: &self.run_flags,
            place: &self.place,
            options: &self.options,
            run_options: &self.run_options,
            ranks: args.slurm.ranks,
            cpus: args.slurm.cpus,
            at_once: args.slurm.at_once,
            grace: self.grace,
            template: &self.template,
            book: self.book.as_deref(),
            strict: self.strict,
            judges: !suites.is_empty(),
        }
    }
}

/// The first file's name, and how many there are besides.
fn name(documents: &[Document]) -> String {
    let first = documents.first().map(|document| match document {
        Document::Experiment(loaded) => loaded.experiment.name.as_str(),
        Document::Suite(loaded) => loaded.suite.name.as_str(),
    });
    let first = first.unwrap_or_default();
    match documents.len() {
        0 | 1 => first.to_owned(),
        more => format!("{first}+{}", more - 1),
    }
}

/// Holds what follows `--` against the flags of `ffn run`, before a job fails by it; whether an open claim is to be an error.
fn check_flags(file: &str, flags: &[String], run_flags: &[String]) -> Result<bool> {
    if run_flags
        .iter()
        .any(|flag| flag.split('=').next() == Some("--set"))
    {
        let message = "--set stands after `--`, where nothing but the runs would know of it";
        return Err(Error::new(Kind::Usage, message).hint("put it before `--`"));
    }
    let own = ["ffn", "run", file].map(str::to_owned);
    let line = own.iter().chain(flags).chain(run_flags);
    let parsed = Cli::try_parse_from(line).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        let message = first.trim_start_matches("error: ").to_owned();
        Error::new(Kind::Usage, message)
            .hint("what follows `--` are flags of `ffn run`; `ffn run --help` lists them")
    })?;
    match parsed.command {
        Command::Run(run) => run.check_elsewhere().map(|()| run.is_strict()),
        _ => Err(Error::new(Kind::Usage, "what follows `--` is no flag")),
    }
}

/// The site's lines: of the file that is named, else of the user's own, else none.
fn template(given: Option<&Path>) -> Result<String> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => {
            let config = config::path();
            let beside = config.and_then(|path| Some(path.parent()?.join(TEMPLATE)));
            match beside.filter(|path| path.exists()) {
                Some(path) => path,
                None => return Ok(String::new()),
            }
        }
    };
    files::read_text(&path, limits::SETTINGS)
}

impl SlurmOptions {
    /// The grace, the options for all jobs, and those for the jobs of runs.
    fn directives(&self) -> Result<(u64, Vec<String>, Vec<String>)> {
        let mut all = options_of(&[
            ("--time", &self.time),
            ("--partition", &self.partition),
            ("--account", &self.account),
            ("--qos", &self.qos),
        ])?;
        for option in &self.sbatch {
            check_option(option)?;
            all.push(option.clone());
        }
        let cpus = self.cpus.map(|cpus| cpus.to_string());
        let runs = options_of(&[
            ("--cpus-per-task", &cpus),
            ("--mem", &self.mem),
            ("--gres", &self.gres),
        ])?;
        Ok((self.grace()?, all, runs))
    }

    fn grace(&self) -> Result<u64> {
        let Some(time) = &self.time else {
            return Ok(self.grace.unwrap_or(GRACE));
        };
        let Some(limit) = duration::seconds(time) else {
            let message = format!("--time: `{}` is no time limit", time.shown());
            let hint = "write minutes, `8:00:00` or `2-12` (days and hours)";
            return Err(Error::new(Kind::Usage, message).hint(hint));
        };
        let grace = self.grace.unwrap_or(GRACE.min(limit / 4).max(1));
        match grace < limit {
            true => Ok(grace),
            false => {
                let message =
                    format!("--grace {grace} is no less than the time limit of {limit} seconds");
                let hint = "a run would be told to stop as soon as it begins";
                Err(Error::new(Kind::Usage, message).hint(hint))
            }
        }
    }

    /// With a thread and a worker for each core: not every cluster binds a job to the cores that it has.
    fn run_flags(&self, given: &[String]) -> Vec<String> {
        let mut flags = given.to_vec();
        for flag in ["--threads", "--workers"] {
            let has = given
                .iter()
                .any(|given| given.split('=').next() == Some(flag));
            if let Some(cpus) = self.cpus.filter(|_| !has) {
                flags.extend([flag.to_owned(), cpus.to_string()]);
            }
        }
        flags
    }
}

/// Those that are given, as `sbatch` reads them.
fn options_of(pairs: &[(&str, &Option<String>)]) -> Result<Vec<String>> {
    let given = pairs
        .iter()
        .filter_map(|(flag, value)| Some((flag, value.as_ref()?)));
    given
        .map(|(flag, value)| {
            quote::plain(flag, value)?;
            Ok(format!("{flag}={value}"))
        })
        .collect()
}

fn check_option(option: &str) -> Result<()> {
    quote::plain("--sbatch", option)?;
    match option.starts_with('-') {
        true => Ok(()),
        false => {
            let message = format!("--sbatch takes an option, found `{}`", option.shown());
            Err(Error::new(Kind::Usage, message).hint("such as `--sbatch=--exclude=n3`"))
        }
    }
}

fn print(submission: &Submission<'_>, open: &Open) -> Result<()> {
    for elements in open.missing.chunks(script::MOST) {
        terminal::print_exactly(&submission.array(elements)?)?;
    }
    if let Some(last) = submission.last()? {
        let line = "\n# The last job, a script of its own: sbatch --dependency=afterany:JOB of the array above.\n";
        terminal::print_exactly(&format!("{line}{last}"))?;
    }
    Ok(())
}

fn nothing_missing(open: &Open) -> Result<()> {
    let others = open.count() - open.finished;
    let text = match others {
        0 => format!(
            "{} finished already, nothing to submit; `ffn run FILE... --judge` judges the claims of suites",
            count(open.count(), "run")
        ),
        _ => format!(
            "nothing to submit: of {} {} finished already, {} in the queue, and {} under work elsewhere",
            count(open.count(), "run"),
            open.finished,
            open.queued.len(),
            open.working
        ),
    };
    terminal::line(text)
}

fn submit(submission: &Submission<'_>, open: &Open) -> Result<()> {
    let mut jobs = Vec::new();
    for elements in open.missing.chunks(script::MOST) {
        let job = sbatch::submit(&submission.array(elements)?, &[])?;
        terminal::line(format_args!(
            "job {job}: {} of {}",
            count(elements.len(), "run"),
            submission.name
        ))?;
        jobs.push(job);
    }
    if open.finished + open.working + open.queued.len() > 0 {
        terminal::line(format_args!(
            "not submitted: {} finished already, {} in the queue, {} under work elsewhere",
            open.finished,
            open.queued.len(),
            open.working
        ))?;
    }
    if let Some(last) = submission.last()? {
        let after = [jobs.as_slice(), open.queued.as_slice()].concat();
        let job = sbatch::submit(&last, &after).map_err(|error| Error {
            message: format!(
                "the last job, after {}: {}",
                after.join(", "),
                error.message
            ),
            ..error
        })?;
        let what = match (submission.judges, submission.book) {
            (true, None) => "judges the claims",
            (true, Some(_)) => "judges the claims and builds the book",
            (false, _) => "builds the book",
        };
        terminal::line(format_args!("job {job}: {what} when they have ended"))?;
    }
    let runs = quote::utf8(submission.place)?;
    terminal::line(format_args!(
        "\n`ffn runs {} --watch` shows them; what they say is in `{}`. The same command submits what is missing then.",
        quote::word(runs),
        submission.place.join(LOGS).shown()
    ))
}
