//! The graphs against the official checkpoints' names and the published sizes.

use ffn::graph::arch::tsm;
use ffn::graph::{Graph, Op, Param, ParamKind, frame_flexible};
use ffn::spec::network::{self, Network, experiment};
use ffn::spec::*;

fn vanilla(backbone: Backbone, place: ShiftPlace, classes: usize) -> Graph {
    tsm::tsm(&tsm::Tsm {
        backbone: &backbone,
        shift: &Shift { div: 8, place },
        classes,
        frames: 16,
        input: (224, 224),
    })
    .unwrap()
}

fn tsm(backbone: Backbone) -> Graph {
    vanilla(backbone, ShiftPlace::ResidualInput, 174)
}

fn paper() -> Ffn {
    Ffn {
        frames: vec![4, 8, 16],
        lambda: 1.0,
        alteration: Alteration::Normal { std: 1e-3 },
        norms: Norms::Private,
        distillation: Distillation::FromLargest,
        shift_segments: ShiftSegments::PerBranch,
    }
}

fn ffn(backbone: Backbone) -> Graph {
    frame_flexible(&tsm(backbone), &paper()).unwrap()
}

/// Names and shapes of one of the official checkpoints, in their order.
fn official(file: &str, model: &str) -> Vec<(String, Vec<usize>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");
    let text = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    // serde_json sorts an object's names; the file's order is that of the modules.
    let own = text.find(&format!("\"{model}\"")).unwrap();
    let place = |name: &str| text[own..].find(&format!("\"{name}\"")).unwrap();
    let shape = |value: &serde_json::Value| serde_json::from_value(value.clone()).unwrap();
    let mut names: Vec<_> = all[model]
        .get("tensors")
        .unwrap_or(&all[model])
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), shape(value)))
        .collect();
    names.sort_by_key(|(name, _)| place(name));
    names
}

fn assert_official(model: &str, graph: &Graph) {
    assert_official_in("state_dict_names.json", model, graph);
}

fn assert_official_in(file: &str, model: &str, graph: &Graph) {
    let suffixes = ["running_mean", "running_var", "num_batches_tracked"];
    let is_stat = |name: &str| suffixes.iter().any(|suffix| name.ends_with(suffix));
    let (stats, params): (Vec<_>, Vec<_>) = official(file, model)
        .into_iter()
        .partition(|(name, _)| is_stat(name));
    let ours = graph.params.iter();
    let ours = ours.map(|p| (p.name.clone(), p.shape.clone()));
    assert_eq!(ours.collect::<Vec<_>>(), params, "parameters of {model}");
    let ours = graph.stats.iter().flat_map(|stat| {
        let shapes = [vec![stat.channels], vec![stat.channels], vec![]];
        let name = |suffix| format!("{}.{suffix}", stat.name);
        suffixes.map(name).into_iter().zip(shapes)
    });
    assert_eq!(ours.collect::<Vec<_>>(), stats, "statistics of {model}");
}

#[test]
fn names_shapes_and_order_are_official() {
    assert_official("tsm_resnet18", &tsm(Backbone::ResNet18));
    assert_official("ffn_resnet18", &ffn(Backbone::ResNet18));
    assert_official("tsm_resnet50", &tsm(Backbone::ResNet50));
    assert_official("ffn_resnet50", &ffn(Backbone::ResNet50));
}

/// A network of the official sizes at 224 pixels.
fn of_model(model: Model, frames: Option<Vec<usize>>) -> Graph {
    let mut experiment = experiment(&Network {
        method: Method::Vanilla { frames: 64 },
        model,
        classes: 174,
        size: 224,
        training: None,
    });
    if let Some(frames) = frames {
        experiment.method = Method::Ffn(Ffn { frames, ..paper() });
    }
    Graph::build(&experiment, (224, 224)).unwrap()
}

/// Parameters and multiply-adds: those of the official networks, counted by hooks.
#[test]
fn slowfast_is_the_official_one() {
    let model = || Model::SlowFast(network::slowfast());
    let (vanilla, ffn) = (
        of_model(model(), None),
        of_model(model(), Some(vec![16, 32, 64])),
    );
    let file = "state_dict_names_slowfast.json";
    assert_official_in(file, "slowfast_r50_vanilla", &vanilla);
    assert_official_in(file, "slowfast_r50_ffn", &ffn);
    assert_eq!(vanilla.parameter_count(), 34_045_558);
    assert_eq!(ffn.parameter_count(), 34_212_606);
    for (frames, giga) in [(16, 25.15), (32, 50.31), (64, 100.62)] {
        let found = vanilla.clip_multiply_adds(frames) as f64 / 1e9;
        assert!((found - giga).abs() < 0.006, "{frames} frames: {found}");
    }
}

#[test]
fn uniformer_is_the_official_one() {
    let model = || Model::UniFormer(network::uniformer());
    let (vanilla, ffn) = (
        of_model(model(), None),
        of_model(model(), Some(vec![4, 8, 16])),
    );
    let file = "state_dict_names_uniformer.json";
    assert_official_in(file, "uniformer_s_vanilla_174", &vanilla);
    assert_official_in(file, "uniformer_s_ffn_174", &ffn);
    assert_eq!(vanilla.parameter_count(), 21_284_462);
    assert_eq!(ffn.parameter_count(), 21_343_406);
    // Attention grows with the square of the frames.
    for (frames, giga) in [(4, 7.967), (8, 17.566), (16, 41.662)] {
        let found = vanilla.clip_multiply_adds(frames) as f64 / 1e9;
        assert!((found - giga).abs() < 6e-4, "{frames} frames: {found}");
    }
    // Time is halved once, rounded up.
    let rows = |frames| vanilla.nodes[1].rate.rows(frames);
    assert_eq!([1, 3, 4, 16].map(rows), [1, 2, 2, 8]);
}

#[test]
fn parameter_counts_are_published_ones() {
    assert_eq!(tsm(Backbone::ResNet50).parameter_count(), 23_864_558);
    assert_eq!(ffn(Backbone::ResNet50).parameter_count(), 24_010_158);
    assert_eq!(tsm(Backbone::ResNet18).parameter_count(), 11_265_774);
    assert_eq!(ffn(Backbone::ResNet18).parameter_count(), 11_289_390);
}

/// torchvision's ResNet-50 and ResNet-18 at 224² have 4.09 and 1.81 G multiply-adds with 1,000 classes.
#[test]
fn multiply_adds_are_published_ones() {
    let image_net = |backbone| vanilla(backbone, ShiftPlace::Nowhere, 1000).clip_multiply_adds(1);
    assert_eq!(image_net(Backbone::ResNet50), 4_089_184_256);
    assert_eq!(image_net(Backbone::ResNet18), 1_814_073_344);
}

#[test]
fn shared_norms_keep_vanilla_names() {
    let shared = Ffn {
        norms: Norms::Shared,
        alteration: Alteration::Off,
        ..paper()
    };
    let graph = tsm(Backbone::ResNet18);
    let flexible = frame_flexible(&graph, &shared).unwrap();
    assert_eq!(flexible.params, graph.params);
    assert_eq!(flexible.stats, graph.stats);
    assert_eq!(flexible.branches, [4, 8, 16]);
}

#[test]
fn shifts_stand_where_they_are_declared() {
    let readers = |place| {
        let graph = vanilla(Backbone::ResNet18, place, 10);
        let shift = graph
            .nodes
            .iter()
            .position(|n| n.name == "base_model.layer2.0.shift");
        let readers = graph.nodes.iter();
        let readers = readers.filter(|n| shift.is_some_and(|id| n.inputs.contains(&id)));
        let names: Vec<_> = readers.map(|n| n.name.as_str()).collect();
        names.join(" ").replace("base_model.layer2.0", "~")
    };
    assert_eq!(readers(ShiftPlace::ResidualInput), "~.conv1");
    assert_eq!(readers(ShiftPlace::BlockInput), "~.conv1 ~.downsample.0");
    assert_eq!(readers(ShiftPlace::AfterFirstConv), "~.bn1");
    assert_eq!(readers(ShiftPlace::Nowhere), "");
}

/// TSM's code shifts every second block of ResNet-101: 2 + 2 + 12 + 2.
#[test]
fn resnet101_shifts_every_second_block() {
    let graph = tsm(Backbone::ResNet101);
    let is_shift = |op: &Op| matches!(op, Op::Shift(_));
    assert_eq!(graph.nodes.iter().filter(|n| is_shift(&n.op)).count(), 18);
}

#[test]
fn branch_is_nearest_ties_to_larger() {
    let graph = ffn(Backbone::ResNet18);
    let served = |frames| graph.branches[graph.branch_for(frames)];
    let found = [1, 4, 5, 6, 7, 8, 11, 12, 13, 16, 32].map(served);
    assert_eq!(found, [4, 4, 4, 8, 8, 8, 8, 16, 16, 16, 16]);
}

#[test]
fn verify_invalid() {
    let broken = |what: &str, change: fn(&mut Graph)| {
        let mut graph = ffn(Backbone::ResNet18);
        change(&mut graph);
        let message = graph.verify().unwrap_err().to_string();
        assert!(message.contains(what), "{message}");
    };
    broken("expected 64×112×112", |g| g.nodes[1].shape.width = 5);
    broken("do not fit", |g| g.nodes[3].inputs = vec![7]);
    broken("two nodes", |g| g.nodes[3].name = g.nodes[2].name.clone());
    broken("is used 0 times", |g| {
        g.params.push(Param {
            name: "spare".into(),
            shape: vec![1],
            kind: ParamKind::Conv,
        });
    });
    broken("do not ascend", |g| g.branches.reverse());
    broken("private parts", |g| g.branches.push(32));
    broken("give the logits", |g| g.classes += 1);
}
