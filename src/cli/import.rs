//! `ffn import`

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{options, table};
use crate::base::{Kind, Result, Shown, files, terminal};
use crate::exchange::mapping::{Conversion, Loaded, Mapping, NotFinite, Purpose, Row};
use crate::exchange::read::{self, Checkpoint, Extra};
use crate::graph::Graph;
use crate::model::StateDict;
use crate::run::tensors;
use crate::spec::{self, Experiment};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads what torch.save writes (since 1.6 a zip archive, before it pickles) and safetensors; nothing in the file is \
executed. Names: the official ones of FFN and TSM, and those of torchvision's ResNet. A tensor that is neither used \
nor explained, or a parameter that nothing in the file gives, is an error unless --waive names it.")]
pub struct Args {
    /// Checkpoint.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Experiment file whose model the weights are for.
    #[arg(long, short, value_name = "FILE")]
    experiment: PathBuf,

    /// Write the weights here, as safetensors under the official names; without it they are only looked at.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Overwrite the output if it is there.
    #[arg(long, requires = "out")]
    force: bool,

    /// Of several sets of weights in the file the one in this dictionary, or with this before its names; the report says
    /// which there are.
    #[arg(long, value_name = "NAME")]
    take: Option<String>,

    /// Tensors that may be missing, left over or of another shape; `*` stands for any characters.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    waive: Vec<String>,

    /// Take weights that are NaN or infinite.
    #[arg(long)]
    allow_non_finite: bool,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Things that are listed of what is not taken; of more only the number is told.
const LISTED: usize = 40;

/// What is told about an import.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    format: &'static str,
    sha256: String,
    /// Which weights of the file these are, and which others it has.
    choice: Vec<String>,
    rows: Vec<RowReport>,
    dropped: Vec<DroppedReport>,
    /// What else is in the file.
    extras: Vec<Extra>,
    /// By type in the file.
    conversions: std::collections::BTreeMap<&'static str, Conversion>,
    not_finite: Vec<NotFinite>,
    output: Option<Output>,
}

#[derive(Debug, Serialize)]
struct RowReport {
    source: Option<String>,
    parameter: String,
    shape: Vec<usize>,
    rule: &'static str,
    /// Type in the file.
    dtype: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct DroppedReport {
    source: String,
    shape: Vec<usize>,
    why: &'static str,
}

#[derive(Debug, Serialize)]
struct Output {
    file: String,
    tensors: usize,
    sha256: String,
    /// As the experiment takes it.
    init: String,
}

pub fn run(args: Args) -> Result<()> {
    if let Some(out) = &args.out {
        options::check_output(out, args.force)?;
    }
    let experiment = spec::load(&args.experiment)?;
    let bytes = read::bytes(&args.file)?;
    let checkpoint = read::parse_taking(&bytes, args.take.as_deref());
    let checkpoint = checkpoint.map_err(|error| read::at(&args.file, error))?;
    let graph = graph(&experiment.experiment)?;
    let what = format!("checkpoint `{}`", args.file.shown());
    let mapping =
        Mapping::new(&what, &graph, &checkpoint, Purpose::Whole, &args.waive).map_err(|error| {
            match error.kind {
                Kind::Usage => error,
                _ => error.hint("--waive NAME lets a tensor be as it is"),
            }
        })?;
    let loaded = mapping.load(args.allow_non_finite).map_err(|error| {
        read::at(&args.file, error).hint("--allow-non-finite takes them as they are")
    })?;
    let mut report = Report::new(&args.file, &bytes, &checkpoint, &mapping, &loaded);
    if let Some(out) = &args.out {
        report.output = Some(write(out, loaded, &experiment.base)?);
    }
    match args.json {
        true => super::print_json(&report),
        false => {
            terminal::print(report.text())?;
            Ok(())
        }
    }
}

/// The experiment's graph: names and shapes do not depend on the size of its images.
pub fn graph(experiment: &Experiment) -> Result<Graph> {
    let size = experiment.train.clips.size;
    Graph::build(experiment, (size, size))
}

fn write(out: &Path, loaded: Loaded, base: &Path) -> Result<Output> {
    let state = StateDict {
        floats: loaded.floats,
        counters: loaded.counters,
    };
    let bytes = tensors::encode(&state)?;
    files::write_atomic(out, &bytes)?;
    let sha256 = files::sha256(&bytes);
    // Paths in an experiment start at its folder.
    let file = out.strip_prefix(base).unwrap_or(out).shown();
    Ok(Output {
        file: out.shown(),
        tensors: state.floats.len() + state.counters.len(),
        init: format!("Pretrained(file: \"{file}\", sha256: Some(\"{sha256}\"))"),
        sha256,
    })
}

impl Report {
    fn new(
        file: &Path,
        bytes: &[u8],
        checkpoint: &Checkpoint,
        mapping: &Mapping<'_>,
        loaded: &Loaded,
    ) -> Self {
        let dropped = mapping.dropped.iter().map(|dropped| DroppedReport {
            source: dropped.source.key.clone(),
            shape: dropped.source.shape.clone(),
            why: dropped.why,
        });
        Self {
            file: file.shown(),
            format: checkpoint.format.name(),
            sha256: files::sha256(bytes),
            choice: mapping.choice(checkpoint),
            rows: mapping.rows.iter().map(RowReport::new).collect(),
            dropped: dropped.collect(),
            extras: checkpoint.extras.clone(),
            conversions: loaded.conversions.clone(),
            not_finite: loaded.not_finite.clone(),
            output: None,
        }
    }

    fn text(&self) -> String {
        let rows: Vec<_> = self.rows.iter().map(RowReport::cells).collect();
        let header = ["source", "parameter", "shape", "rule", "type"];
        let mut text = table::render_words(&header, &rows);
        text += &format!(
            "\nread: `{}`, {}, sha256 {}\n",
            self.file, self.format, self.sha256
        );
        for line in &self.choice {
            text += &format!("{line}\n");
        }
        text += &listed("dropped", &self.dropped, |dropped| {
            format!("{} {:?}: {}", dropped.source, dropped.shape, dropped.why)
        });
        text += &listed("not read", &self.extras, |extra| {
            format!("{}: {}", extra.path, extra.what)
        });
        for (dtype, conversion) in &self.conversions {
            text += &format!("converted: {}\n", converted(dtype, conversion));
        }
        for tensor in &self.not_finite {
            let NotFinite {
                key, values, of, ..
            } = tensor;
            text += &format!("not finite: {key}: {values} of {of} values\n");
        }
        text + &self.output.as_ref().map(Output::text).unwrap_or_default()
    }
}

impl Output {
    fn text(&self) -> String {
        let Self {
            file,
            tensors,
            sha256,
            init,
        } = self;
        format!(
            "written: `{file}`, {tensors} tensors, sha256 {sha256}\nto train from it: init: {init}\n"
        )
    }
}

/// A line for each of the first, and how many more there are.
fn listed<T>(what: &str, all: &[T], line: impl Fn(&T) -> String) -> String {
    let lines = all.iter().take(LISTED).map(line);
    let mut text: String = lines.map(|line| format!("{what}: {line}\n")).collect();
    if let Some(more @ 1..) = all.len().checked_sub(LISTED) {
        text += &format!("{what}: {more} more\n");
    }
    text
}

/// What a conversion to float32 cost.
fn converted(dtype: &str, conversion: &Conversion) -> String {
    let Conversion {
        tensors,
        values,
        rounded,
    } = conversion;
    let cost = match rounded {
        0 => "every value exact".to_owned(),
        n => format!("{n} of {values} values rounded to the nearest float32"),
    };
    format!("{tensors} tensors of {dtype} to float32, {cost}")
}

impl RowReport {
    fn new(row: &Row<'_>) -> Self {
        Self {
            source: row.source.map(|tensor| tensor.key.clone()),
            parameter: row.wanted.name.clone(),
            shape: row.wanted.shape.clone(),
            rule: row.rule.name(),
            dtype: row.source.map(|tensor| tensor.dtype.name()),
        }
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.source.clone().unwrap_or_else(|| "-".to_owned()),
            self.parameter.clone(),
            format!("{:?}", self.shape),
            self.rule.to_owned(),
            self.dtype.unwrap_or("-").to_owned(),
        ]
    }
}
