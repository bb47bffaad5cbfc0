//! The recipes of the experiments in git, whole but for their sizes, on made frames.

use std::path::Path;
use std::process::{Child, Output};

use ffn::data::video::Image;

use crate::support::*;

const RECIPES: [&str; 11] = [
    "slowfast_sthv1",
    "slowfast_sthv1_official",
    "ffn_slowfast_sthv1",
    "ffn_slowfast_sthv1_official",
    "uniformer_sthv1",
    "uniformer_sthv1_official",
    "ffn_uniformer_sthv1",
    "ffn_uniformer_sthv1_official",
    "tea_sthv1",
    "tea_sthv1_official",
    "ffn_tea_sthv1_official",
];

/// Eight videos for training and two for validation, in the layout of Something-Something V1.
fn make_frames(root: &Path) {
    let mut lists = [String::new(), String::new()];
    for video in 0..10usize {
        let count = 9 + 5 * video;
        let folder = root.join(video.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        for frame in 0..count {
            let value = |i: usize| (i * (video + 3) + frame * 7) as u8;
            let image = Image {
                width: 64,
                height: 48,
                rgb: (0..64 * 48 * 3).map(value).collect(),
            };
            let path = folder.join(format!("{:05}.png", frame + 1));
            std::fs::write(path, image.to_png().unwrap()).unwrap();
        }
        let list = usize::from(video >= 8);
        lists[list] += &format!("{video} {count} {}\n", video % 4);
    }
    std::fs::create_dir_all(root.join("lists")).unwrap();
    for (name, list) in ["train", "validation"].into_iter().zip(lists) {
        std::fs::write(root.join(format!("lists/sthv1_{name}.txt")), list).unwrap();
    }
}

/// What makes a recipe small: sizes and counts, and nothing of what it does with them.
fn sizes(recipe: &str) -> Vec<&'static str> {
    let mut sizes = vec![
        "model.init=Random",
        "data.template=\"{:05}.png\"",
        "data.class_count=4",
        "data.train_count=8",
        "data.validation_count=2",
        "train.epochs=2",
        "train.batch=4",
        "train.clips.size=32",
        "eval.size=32",
        "eval.short_side=40",
        "schedule.warmup=None",
    ];
    if !recipe.contains("tea") || recipe.contains("official") {
        sizes.push("train.norm_clips=2");
    }
    if recipe.contains("slowfast") {
        sizes.extend([
            "model.blocks=[1, 1, 1, 1]",
            "model.width=16",
            "train.clips.crop.short_side=(40, 48)",
        ]);
    }
    if recipe.contains("uniformer") {
        sizes.extend([
            "model.widths=[8, 16, 16, 16]",
            "model.depths=[1, 1, 1, 1]",
            "model.head_width=8",
            "train.mixing.group=2",
        ]);
    } else {
        sizes.push("schedule.shape=MultiStep(milestones: [1], gamma: 0.1)");
    }
    if recipe.contains("tea") {
        sizes.extend([
            "model.backbone.blocks=[1, 1, 1, 1]",
            "model.backbone.planes=16",
        ]);
    }
    sizes
}

fn start(file: &Path, [data, out]: [&Path; 2], settings: &[&str], flags: &[&str]) -> Child {
    let [file, data, out] = [file, data, out].map(|path| path.to_str().unwrap());
    let mut arguments = vec!["run", file, "--unpinned", "--data-root", data, "--out", out];
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    arguments.extend(flags);
    command(&arguments).spawn().unwrap()
}

fn run(recipe: &str, data: &Path, out: &Path, flags: &[&str]) -> Output {
    let file = format!("experiments/{recipe}.ron");
    start(Path::new(&file), [data, out], &sizes(recipe), flags).in_time()
}

/// What the sizes above cover up.
#[test]
fn recipes_evaluate_at_the_official_sizes() {
    for recipe in RECIPES {
        let loaded = ffn::spec::load(Path::new(&format!("experiments/{recipe}.ron"))).unwrap();
        let eval = &loaded.experiment.eval;
        let expected = match recipe {
            _ if recipe.contains("slowfast") => (256, 256),
            _ if recipe.contains("uniformer") => (224, 224),
            _ => (256, 224),
        };
        assert_eq!((eval.short_side, eval.size), expected, "{recipe}");
        assert_eq!(loaded.experiment.train.clips.size, 224, "{recipe}");
    }
}

#[test]
fn every_recipe_trains_and_is_evaluated() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    make_frames(&data);
    for recipe in RECIPES {
        let out = place.path().join(recipe);
        expect(&run(recipe, &data, &out, &[]), 0);
        let folder = ffn::run::Folder::at(only_run(&out));
        let experiment = folder.experiment().unwrap();
        // Two clips of each video are twice as many steps.
        let steps = 2 * 8 * experiment.train.clips.repeats / 4;
        assert_eq!(crate::support::steps(&out), steps, "{recipe}");
    }
}

/// All that training can do beside a recipe, at once.
const EVERYTHING: [&str; 14] = [
    "train.shards=2",
    "train.running_statistics=MeanOfShards",
    "train.epochs=4",
    "train.clips.color_jitter=(brightness: 0.4)",
    "train.subset=0.5",
    "train.class_weights=Balanced",
    "train.rates=[(\"patch_embed\", 0.1), (\"patch_embed2\", 0), (\"head\", 2)]",
    "train.layer_decay=0.9",
    "train.ema=(decay: 0.9)",
    "train.keep=Best(frames: 4)",
    "train.stop=(frames: 4, patience: 50)",
    "optimizer.clip.value=0.05",
    "eval.every=1",
    "eval.average=Probabilities",
];

/// All that is drawn for a clip and a step is drawn anew by whoever computes it, and nothing that a step reads is lost.
#[test]
fn with_everything_switched_on_it_ends_the_same_however_it_was_run() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let recipe = "ffn_uniformer_sthv1_official";
    make_frames(&path("data"));
    let file = format!("experiments/{recipe}.ron");
    let mut settings = sizes(recipe);
    settings.retain(|setting| !setting.starts_with("train.epochs"));
    settings.extend(EVERYTHING);
    let start = |out: &str, flags: &[&str]| {
        let places = [path("data"), path(out)];
        start(Path::new(&file), [&places[0], &places[1]], &settings, flags)
    };
    let whole = start("whole", &["--threads", "1", "--workers", "1"]);
    expect(&whole.in_time(), 0);
    let flags = [
        "--threads",
        "2",
        "--workers",
        "3",
        "--checkpoint-minutes",
        "0",
    ];
    for steps in [1, 3, 6] {
        let mut child = start("killed", &flags);
        wait_for_steps(&mut child, &path("killed"), steps);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    expect(&start("killed", &flags).in_time(), 0);
    let [whole, killed] = ["whole", "killed"].map(|run| results(&only_run(&path(run))));
    assert_same(&whole, &killed);
    assert_eq!(
        whole
            .keys()
            .filter(|name| name.ends_with("best.json"))
            .count(),
        1
    );
    // The results are those of the best evaluation, with the last and the weights that were averaged beside them.
    for name in ["eval", "eval/last", "eval/unaveraged", "eval/epoch-0003"] {
        assert!(whole.contains_key(&format!("{name}/4.json")), "{name}");
    }
    let run = only_run(&path("whole"));
    expect(&ffn(&["verify", run.to_str().unwrap()]), 0);
    let top1 = |folder: &str| {
        let all = ffn::run::results::read_all(&run.join(folder)).unwrap();
        (all[0].top1, all[0].step)
    };
    let epochs = [
        "eval/epoch-0001",
        "eval/epoch-0002",
        "eval/epoch-0003",
        "eval/last",
    ]
    .map(top1);
    let best = epochs.iter().map(|(top1, _)| *top1).max().unwrap();
    let first = epochs.iter().find(|(top1, _)| *top1 == best).unwrap();
    assert_eq!(top1("eval"), *first);
    let listed = stdout(&ffn(&["runs", run.parent().unwrap().to_str().unwrap()]));
    let expected = format!(
        "chosen by validation top-1 at 4 frames, of step {}",
        first.1
    );
    assert!(listed.contains(&expected), "{listed}");
}

/// A rate at which nothing is learnt: the first evaluation is the best, and after two more that are no better training ends.
#[test]
fn training_ends_early_and_says_why() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    make_frames(&path("data"));
    let mut settings = sizes("tea_sthv1");
    settings.retain(|setting| !setting.starts_with("train.epochs"));
    settings.extend([
        "train.epochs=9",
        "train.stop=(frames: 8, patience: 2)",
        "eval.every=1",
        "optimizer.lr=1e-12",
    ]);
    let file = Path::new("experiments/tea_sthv1.ron");
    let again = || start(file, [&path("data"), &path("out")], &settings, &[]).in_time();
    let output = again();
    expect(&output, 0);
    let said = [stdout(&output), stderr(&output)].concat();
    let expected = "training ended after epoch 3: top-1 at 8 frames has not risen above";
    assert!(said.contains(expected), "{said}");
    let run = only_run(&path("out"));
    let manifest = ffn::run::Folder::at(&run).manifest().unwrap();
    assert_eq!(manifest.steps, 6);
    assert_eq!(manifest.stopped_early.unwrap().planned_steps, 18);
    expect(&ffn(&["verify", run.to_str().unwrap()]), 0);
    let listed = stdout(&ffn(&["runs", path("out").to_str().unwrap()]));
    assert!(listed.contains("ended early, at step 6 of 18"), "{listed}");
    let before = results(&run);
    expect(&again(), 0);
    assert_same(&results(&run), &before);
}
