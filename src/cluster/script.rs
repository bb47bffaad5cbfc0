//! The batch scripts: of an array of runs, and of the last job.
//!
//! A script is a pure function of what is to be done. Slurm keeps it, and [`rows`] reads from it which element computes
//! which run.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::quote::{directive, pattern, utf8, word, words};
use crate::base::{Error, Kind, Result, Shown};

/// How the names of all jobs begin.
pub const NAME: &str = "ffn-";

/// What the name of the last job ends with.
pub const LAST: &str = "-last";

/// Elements of an array: what Slurm takes unless a site allows more.
pub const MOST: usize = 1000;

/// In the folder that holds the runs: what the jobs said.
pub const LOGS: &str = "slurm";

/// Between the number of an element and its run's folder name.
const RUN: &str = ";; # run ";
const PLACE: &str = "# runs in ";

/// What all scripts of one submission have in common.
#[derive(Debug)]
pub struct Submission<'a> {
    /// Of all jobs, after [`NAME`].
    pub name: &'a str,
    /// The program, by its whole path.
    pub program: &'a Path,
    /// Where the command was given: relative paths begin there.
    pub folder: &'a Path,
    /// The experiment and suite files.
    pub files: &'a [String],
    /// Flags of `ffn run` in all scripts: `--out`, `--set`.
    pub flags: &'a [String],
    /// Flags of `ffn run` for runs alone.
    pub run_flags: &'a [String],
    /// The folder that holds the runs, as an absolute path.
    pub place: &'a Path,
    /// Options of `sbatch` for all jobs.
    pub options: &'a [String],
    /// Options of `sbatch` for the runs' jobs alone.
    pub run_options: &'a [String],
    /// Processes that compute a run together.
    pub ranks: usize,
    /// For each of them.
    pub cpus: Option<usize>,
    /// Elements that may run at once.
    pub at_once: Option<usize>,
    /// Seconds before the time limit at which a run is told.
    pub grace: u64,
    /// The site's own lines.
    pub template: &'a str,
    /// The folder of a book that the last job builds.
    pub book: Option<&'a str>,
    /// Whether the last job fails where a claim is open.
    pub strict: bool,
    /// Whether one of the files is a suite, which has claims.
    pub judges: bool,
}

/// One run, and how `ffn run` is told to compute it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    pub file: String,
    /// Of a suite's member: its name and the seed.
    pub member: Option<(String, u64)>,
    /// The run's folder name.
    pub run: String,
}

impl Submission<'_> {
    /// The script of an array with an element for each run, counted from 1.
    pub fn array(&self, elements: &[Element]) -> Result<String> {
        let at_once = self.at_once.map(|most| format!("%{most}"));
        let own = [
            format!(
                "--array=1-{}{}",
                elements.len(),
                at_once.unwrap_or_default()
            ),
            "--requeue".to_owned(),
            "--open-mode=append".to_owned(),
            format!("--signal=TERM@{}", self.grace),
            format!("--ntasks={}", self.ranks),
        ];
        let options = [&own, self.run_options].concat();
        let mut text = self.head("", "%x-%A_%a.log", &options)?;
        let _ = writeln!(text, "case \"$SLURM_ARRAY_TASK_ID\" in");
        for (index, element) in elements.iter().enumerate() {
            let row = words(row(element));
            let run = element.run.shown();
            let _ = writeln!(text, "    {}) set -- {row} {RUN}{run}", index + 1);
        }
        let _ = write!(text, "{OTHER_ELEMENT}");
        let cpus = self.cpus.map(|cpus| format!(" --cpus-per-task={cpus}"));
        let _ = writeln!(
            text,
            "code=0\nsrun --ntasks={}{} {} run \"$@\" {} || code=$?",
            self.ranks,
            cpus.unwrap_or_default(),
            word(utf8(self.program)?),
            words([self.flags, self.run_flags].concat())
        );
        text.push_str(REQUEUE);
        Ok(text)
    }

    /// The script of the job that judges claims and builds the book; `None` where there is nothing to judge or build.
    pub fn last(&self) -> Result<Option<String>> {
        if !self.judges && self.book.is_none() {
            return Ok(None);
        }
        let mut text = self.head(LAST, "%x-%j.log", &[])?;
        let program = word(utf8(self.program)?);
        text.push_str("code=0\n");
        if self.judges {
            let strict = self.strict.then(|| "--strict".to_owned());
            let flags = [self.files, self.flags].concat();
            let flags = words(flags.into_iter().chain(strict));
            let _ = writeln!(text, "{program} run {flags} --judge || code=$?");
        }
        if let Some(book) = self.book {
            let flags = words(["--book", book, "--runs", utf8(self.place)?]);
            let _ = writeln!(text, "book=0\n{program} book {flags} || book=$?");
            text.push_str("if [ \"$code\" -eq 0 ]; then code=$book; fi\n");
        }
        text.push_str("exit \"$code\"\n");
        Ok(Some(text))
    }

    /// All of a script until its first command.
    fn head(&self, ending: &str, log: &str, own: &[String]) -> Result<String> {
        check_template(self.template)?;
        let logs = pattern(&self.place.join(LOGS).join("_"))?;
        let logs = logs.trim_end_matches("_\"");
        let mut text = format!(
            "#!/bin/bash\n# Written by ffn submit {}.\n{PLACE}{}\n",
            env!("CARGO_PKG_VERSION"),
            self.place.shown()
        );
        let common = [
            format!("--job-name={NAME}{}{ending}", self.name),
            format!("--chdir={}", directive(self.folder)?),
            format!("--output={logs}{log}\""),
        ];
        for option in common.iter().chain(own).chain(self.options) {
            let _ = writeln!(text, "#SBATCH {option}");
        }
        let template = self.template.trim();
        if !template.is_empty() {
            let _ = writeln!(text, "{template}");
        }
        text.push('\n');
        Ok(text)
    }
}

const OTHER_ELEMENT: &str =
    "    *) echo \"error: this array has no element $SLURM_ARRAY_TASK_ID\" >&2; exit 2 ;;
esac
";

/// Not by `$SLURM_JOB_ID`: from the last element of an array that means the whole array.
const REQUEUE: &str = "\
# 75: the run was asked to stop and saved everything. Back into the queue; it goes on from there.
if [ \"$code\" -eq 75 ]; then
    scontrol requeue \"${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}\" ||
        echo 'error: not requeued; the same ffn submit submits the run again' >&2
fi
exit \"$code\"
";

/// What comes after `ffn run`.
fn row(element: &Element) -> Vec<String> {
    let mut words = vec![element.file.clone()];
    if let Some((member, seed)) = &element.member {
        words.extend(["--member".to_owned(), member.clone()]);
        words.extend(["--seed".to_owned(), seed.to_string()]);
    }
    words
}

/// Refuses lines that `sbatch` would pass over without a word.
fn check_template(template: &str) -> Result<()> {
    let mut commands = false;
    for (index, line) in template.lines().enumerate() {
        let line = line.trim();
        if commands && line.starts_with("#SBATCH") {
            return Err(Error::new(
                Kind::Usage,
                format!(
                    "line {} of the template, `{}`, stands after a command, where sbatch does not read it",
                    index + 1,
                    line.shown()
                ),
            )
            .hint("put the template's #SBATCH lines before its commands"));
        }
        commands |= !line.is_empty() && !line.starts_with('#');
    }
    Ok(())
}

/// What a script says of its elements.
#[derive(Debug, PartialEq, Eq)]
pub struct Rows {
    place: String,
    /// The run's folder name by the element's number.
    pub runs: BTreeMap<u64, String>,
}

impl Rows {
    /// Whether the runs are in this folder, an absolute path.
    pub fn is_of(&self, place: &Path) -> bool {
        self.place == place.shown()
    }
}

/// Reads from a script what its elements compute; `None` where it is not one of ours.
pub fn rows(script: &str) -> Option<Rows> {
    let mut lines = script.lines();
    let place = lines.find_map(|line| line.strip_prefix(PLACE))?.to_owned();
    let row = |line: &str| {
        let (number, _) = line.trim().split_once(')')?;
        let (_, run) = line.rsplit_once(RUN)?;
        Some((number.parse().ok()?, run.to_owned()))
    };
    let runs = lines.filter_map(row).collect();
    Some(Rows { place, runs })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements() -> Vec<Element> {
        let of = |file: &str, member: Option<(&str, u64)>, run: &str| Element {
            file: file.to_owned(),
            member: member.map(|(name, seed)| (name.to_owned(), seed)),
            run: run.to_owned(),
        };
        vec![
            of("suites/a b.ron", Some(("ffn/lr=0.1", 1)), "tiny-11111111"),
            of("suites/a b.ron", Some(("it's \"one\"", 2)), "tiny-22222222"),
            of("experiments/c.ron", None, "c-33333333"),
        ]
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    /// Both scripts, with these lines of a site.
    fn scripts(template: &str) -> Result<(String, Option<String>)> {
        let submission = Submission {
            name: "tiny_suite",
            program: Path::new("/opt/my tools/ffn"),
            folder: Path::new("/home/me/my project"),
            files: &texts(&["suites/a b.ron", "experiments/c.ron"]),
            flags: &texts(&["--out", "my runs", "--set", "name=\"x\""]),
            run_flags: &texts(&["--stage", "$TMPDIR"]),
            place: Path::new("/home/me/my project/my runs"),
            options: &texts(&["--time=8:00:00", "--partition=main"]),
            run_options: &texts(&["--cpus-per-task=8", "--gres=gpu:1"]),
            ranks: 1,
            cpus: Some(8),
            at_once: Some(2),
            grace: 300,
            template,
            book: Some("book"),
            strict: true,
            judges: true,
        };
        Ok((submission.array(&elements())?, submission.last()?))
    }

    #[test]
    fn scripts_of_a_suite_and_an_experiment() {
        let (array, last) = scripts("#SBATCH --account=lab\n\nmodule load slurm\n").unwrap();
        insta::assert_snapshot!("array", array);
        insta::assert_snapshot!("last", last.unwrap());
    }

    #[test]
    fn a_shell_takes_the_scripts() {
        let (array, last) = scripts("").unwrap();
        for script in [array, last.unwrap()] {
            let checked = std::process::Command::new("bash")
                .args(["-n", "-c", &script])
                .output()
                .unwrap();
            assert!(checked.status.success(), "{checked:?}");
        }
    }

    #[test]
    fn a_script_says_which_element_computes_which_run() {
        let (array, _) = scripts("").unwrap();
        let found = rows(&array).unwrap();
        assert!(found.is_of(Path::new("/home/me/my project/my runs")));
        assert!(!found.is_of(Path::new("/home/me/runs")));
        let expected = [
            (1, "tiny-11111111"),
            (2, "tiny-22222222"),
            (3, "c-33333333"),
        ];
        let expected = expected.map(|(number, run)| (number, run.to_owned()));
        assert_eq!(found.runs, BTreeMap::from(expected));
        assert_eq!(rows("#!/bin/bash\nsleep 1\n"), None);
    }

    #[test]
    fn directives_behind_commands_are_refused() {
        let error = scripts("module load x\n#SBATCH --account=lab").unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        assert!(error.message.contains("line 2"), "{error}");
    }
}
