//! `ffn data stats`

use super::Selection;
use crate::base::{Result, Shown, terminal};
use crate::cli::{print_json, table};
use crate::data::stats::{self, FrameStats, SplitStats, Stats};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    let found = args.selection.find()?;
    let experiment = &found.loaded.experiment;
    let mut frames = [experiment.method.frames(), &experiment.eval.frames].concat();
    frames.sort_unstable();
    frames.dedup();
    let report = |done, total| found.tell("reading videos", done, total);
    let stats = stats::of_dataset(&found.dataset, &frames, &report);
    match args.json {
        true => print_json(&stats),
        false => {
            terminal::print(render(&stats))?;
            Ok(())
        }
    }
}

fn render(stats: &Stats) -> String {
    let class = |class: &stats::ClassStats| {
        vec![
            class.name.shown(),
            class.train.to_string(),
            class.validation.to_string(),
        ]
    };
    let classes: Vec<_> = stats.classes.iter().map(class).collect();
    let (train, validation) = (columns(&stats.train), columns(&stats.validation));
    let measures: Vec<_> = train
        .into_iter()
        .zip(validation)
        .map(|((name, train), (_, validation))| vec![name, train, validation])
        .collect();
    let mut text = table::render(&["class", "train", "validation"], &classes);
    text.push('\n');
    text.push_str(&table::render(&["split", "train", "validation"], &measures));
    for (name, split) in [("train", &stats.train), ("validation", &stats.validation)] {
        for size in &split.sizes {
            let (width, height, clips) = (size.width, size.height, size.clips);
            text.push_str(&format!("{name}: {clips} clips of {width}x{height}\n"));
        }
        for video in &split.unreadable {
            text.push_str(&format!("{name}: {}: {}\n", video.id.shown(), video.reason));
        }
        for folder in &split.surplus {
            text.push_str(&format!("{name}: {}\n", folder.describe()));
        }
    }
    text
}

/// Name and value of each measure of a split; the names are the same for both.
fn columns(split: &SplitStats) -> Vec<(String, String)> {
    let frames = |of: fn(&FrameStats) -> usize| {
        let value = split.frames.as_ref().map(of);
        value.map_or("-".to_owned(), |value| value.to_string())
    };
    let mut columns = vec![
        ("clips".to_owned(), split.clips.to_string()),
        ("frames, fewest".to_owned(), frames(|f| f.min)),
        ("frames, median".to_owned(), frames(|f| f.median)),
        ("frames, most".to_owned(), frames(|f| f.max)),
    ];
    for shorter in &split.shorter {
        let name = format!("with fewer than {} frames", shorter.frames);
        columns.push((name, shorter.clips.to_string()));
    }
    columns.push(("unreadable".to_owned(), split.unreadable.len().to_string()));
    columns
}
