use super::*;
use crate::exchange::read::{Dtype, Format};
use crate::graph::arch::slowfast;
use crate::spec::network::{self, Network, experiment};
use crate::spec::{
    Alteration, Backbone, Block, Distillation, Ffn, Method, Model, Norms, ResNet, ShiftSegments,
    SlowFast, Stem, UniFormer,
};

fn graph(method: Method) -> Graph {
    let experiment = experiment(&Network {
        method,
        model: network::tsm(Backbone::ResNet(ResNet {
            block: Block::Bottleneck,
            blocks: vec![1],
            width: 8,
            stem: Stem::ImageNet,
        })),
        classes: 3,
        size: 32,
        training: None,
    });
    Graph::build(&experiment, (32, 32)).unwrap()
}

fn vanilla() -> Graph {
    graph(Method::Vanilla { frames: 8 })
}

fn flexible() -> Graph {
    graph(Method::Ffn(Ffn {
        frames: vec![4, 8],
        lambda: 1.0,
        alteration: Alteration::Normal { std: 1e-3 },
        norms: Norms::Private,
        distillation: Distillation::FromLargest,
        shift_segments: ShiftSegments::PerBranch,
    }))
}

/// TEA, whose backbone's file has neither motion excitation nor temporal convolutions.
fn tea(method: Method) -> Graph {
    built(network::tea(), method)
}

fn built(model: Model, method: Method) -> Graph {
    let network = Network {
        method,
        model,
        classes: 3,
        size: 32,
        training: None,
    };
    Graph::build(&experiment(&network), (32, 32)).unwrap()
}

/// Of UniFormer's ImageNet weights every convolution is one of images: along time each is repeated, and divided by as many.
#[test]
fn convolutions_of_images_become_those_of_clips() {
    let layout = UniFormer {
        widths: [8, 8, 8, 8],
        depths: [1; 4],
        head_width: 4,
        ..network::uniformer()
    };
    let graph = built(Model::UniFormer(layout), Method::Vanilla { frames: 8 });
    let mut file = checkpoint(&graph, str::to_owned);
    for tensor in &mut file.tensors {
        if let [out, of_group, _, height, width] = tensor.shape[..] {
            *tensor = floats(&tensor.name, &[out, of_group, height, width], 6.0);
        }
    }
    let loaded = map(&graph, &file, &[]).unwrap().load(false).unwrap();
    let mut convolutions = 0;
    for (name, shape, values) in &loaded.floats {
        if let [_, _, time, _, _] = shape[..] {
            convolutions += 1;
            let sizes = shape.iter().product::<usize>();
            assert_eq!(values.len(), sizes, "{name}");
            assert!(values.iter().all(|&v| v == 6.0 / time as f32), "{name}");
        }
    }
    assert!(convolutions > 10, "{convolutions}");
    // Along time alone: other sizes are a mistake, and SlowFast's convolutions are no images'.
    let conv = "patch_embed1.proj.weight";
    let at = file.tensors.iter().position(|t| t.name == conv).unwrap();
    file.tensors[at] = floats(conv, &[8, 3, 5, 5], 1.0);
    let error = map(&graph, &file, &[]).err().unwrap().to_string();
    assert!(error.contains(conv), "{error}");
}

/// PySlowFast's blobs, by the names that Caffe2 gave them; the momentum beside them is dropped.
#[test]
fn blobs_of_caffe2_are_a_slowfast() {
    let layout = SlowFast {
        blocks: [1; 4],
        width: 16,
        ..network::slowfast()
    };
    let graph = built(Model::SlowFast(layout), Method::Vanilla { frames: 32 });
    let blob = |name: &str| -> Option<String> {
        let blobs = ["t_", ""].iter().flat_map(|pathway| {
            let stem = ["conv1", "res_conv1", "pred", "pool1_subsample"].map(str::to_owned);
            let stages = (2..=5).flat_map(|stage| {
                let block = format!("res{stage}_0_branch");
                ["1", "2a", "2b", "2c", "2c_bn_subsample"].map(|part| format!("{block}{part}"))
            });
            stem.into_iter().chain(stages).flat_map(move |place| {
                ["_w", "_b", "_bn_s", "_bn_b", "_bn_rm", "_bn_riv"]
                    .map(|kind| format!("{pathway}{place}{kind}"))
            })
        });
        let mut blobs: Vec<String> = blobs.collect();
        blobs.extend((2..5).flat_map(|stage| {
            let fuse = format!("t_res{stage}_0_branch2c_bn_subsample");
            ["_w", "_bn_s", "_bn_b", "_bn_rm", "_bn_riv"].map(|kind| format!("{fuse}{kind}"))
        }));
        let official = |blob: &String| slowfast::of_caffe2(blob).as_deref() == Some(name);
        blobs.into_iter().find(official)
    };
    let mut file = checkpoint(&graph, str::to_owned);
    file.format = Format::Caffe2;
    let is_counter = |tensor: &Tensor| tensor.name.ends_with("num_batches_tracked");
    file.tensors.retain(|tensor| !is_counter(tensor));
    for tensor in &mut file.tensors {
        let blob = blob(&tensor.name).unwrap_or_else(|| panic!("{}", tensor.name));
        let value = tensor.floats().unwrap().values[0];
        *tensor = floats(&blob, &tensor.shape, value);
    }
    file.tensors.push(floats("conv1_w_momentum", &[2], 0.0));
    let mapping = map(&graph, &file, &[]).unwrap();
    for (own, source) in [
        ("s1.pathway1_stem.conv.weight", "t_conv1_w"),
        ("s1_fuse.conv_f2s.weight", "t_pool1_subsample_w"),
        (
            "s4.pathway0_res0.branch2.b_bn.running_var",
            "res4_0_branch2b_bn_riv",
        ),
    ] {
        assert_eq!(origin(&mapping, own).0, Some(source), "{own}");
    }
    let official = wanted(&graph);
    for (name, _, values) in &mapping.load(false).unwrap().floats {
        let number = official.iter().position(|wanted| wanted.name == *name);
        assert_eq!(values[0], number.unwrap() as f32, "{name}");
    }
    assert_eq!(mapping.dropped.len(), 1);
}

#[test]
fn every_tensor_of_a_res2net_is_used() {
    let vanilla = tea(Method::Vanilla { frames: 8 });
    let mut file = checkpoint(&vanilla, |name| {
        name.replace("base_model.", "").replace("new_fc.", "fc.")
    });
    let is_addition = |name: &str| name.contains(".me.") || name.contains(".shifts.");
    file.tensors.retain(|tensor| !is_addition(&tensor.name));
    let flexible = tea(Method::Ffn(Ffn {
        frames: vec![4, 8, 16],
        lambda: 1.0,
        alteration: Alteration::Off,
        norms: Norms::Private,
        distillation: Distillation::FromLargest,
        shift_segments: ShiftSegments::PerBranch,
    }));
    let mapping = map(&flexible, &file, &[]).unwrap();
    for (own, source) in [
        ("base_model.bn1_16.weight", "bn1.weight"),
        (
            "base_model.layer1.0.bns_4.2.running_var",
            "layer1.0.bns.2.running_var",
        ),
        (
            "base_model.layer2.0.downsample_conv.weight",
            "layer2.0.downsample.0.weight",
        ),
        (
            "base_model.layer2.0.downsample_bn_8.bias",
            "layer2.0.downsample.1.bias",
        ),
    ] {
        assert_eq!(
            origin(&mapping, own),
            (Some(source), Rule::Torchvision),
            "{own}"
        );
    }
    let initial = mapping.rows.iter().filter(|row| row.rule == Rule::Initial);
    let of_backbone = initial.filter(|row| !is_addition(&row.wanted.name));
    let names: Vec<&str> = of_backbone.map(|row| row.wanted.name.as_str()).collect();
    assert_eq!(names, ["new_fc.weight", "new_fc.bias"]);
    assert_eq!(mapping.dropped.len(), 2);
}

fn floats(key: &str, shape: &[usize], value: f32) -> Tensor {
    let count = shape.iter().product();
    let bytes = value.to_le_bytes().repeat(count);
    Tensor::new(key, shape.to_vec(), Dtype::Float32, bytes).unwrap()
}

/// A checkpoint of a graph whose keys are renamed; every value of a tensor is its number, counters are 7.
fn checkpoint(graph: &Graph, rename: impl Fn(&str) -> String) -> Checkpoint {
    let tensor = |(number, wanted): (usize, Wanted)| match wanted.role {
        Role::Counter => {
            let bytes = 7i64.to_le_bytes().to_vec();
            Tensor::new(&rename(&wanted.name), vec![], Dtype::Int64, bytes).unwrap()
        }
        _ => floats(&rename(&wanted.name), &wanted.shape, number as f32),
    };
    Checkpoint {
        format: Format::PyTorchZip,
        tensors: wanted(graph).into_iter().enumerate().map(tensor).collect(),
        taken: String::new(),
        asked: None,
        others: vec![],
        not_tensors: vec![],
        extras: vec![],
    }
}

fn torchvision() -> Checkpoint {
    checkpoint(&vanilla(), |name| {
        name.replace("base_model.", "").replace("new_fc.", "fc.")
    })
}

fn map<'a>(graph: &Graph, checkpoint: &'a Checkpoint, waive: &[&str]) -> Result<Mapping<'a>> {
    let waive: Vec<String> = waive.iter().map(|&pattern| pattern.to_owned()).collect();
    Mapping::new("checkpoint", graph, checkpoint, Purpose::Whole, &waive)
}

/// Key and rule of what became of a tensor of ours.
fn origin<'a>(mapping: &Mapping<'a>, name: &str) -> (Option<&'a str>, Rule) {
    let row = mapping
        .rows
        .iter()
        .find(|row| row.wanted.name == name)
        .unwrap();
    (row.source.map(|tensor| tensor.key.as_str()), row.rule)
}

#[test]
fn official_names_are_taken_as_they_are() {
    let graph = flexible();
    let file = checkpoint(&graph, |name| format!("module.{name}"));
    let mapping = map(&graph, &file, &[]).unwrap();
    assert!(mapping.rows.iter().all(|row| row.rule == Rule::Official));
    assert!(mapping.dropped.is_empty());
    let loaded = mapping.load(false).unwrap();
    let own = wanted(&graph);
    assert_eq!(loaded.floats.len() + loaded.counters.len(), own.len());
    for (name, shape, values) in &loaded.floats {
        let number = own.iter().position(|wanted| wanted.name == *name).unwrap();
        assert_eq!(own[number].shape, *shape);
        assert!(values.iter().all(|&v| v == number as f32), "{name}");
    }
    assert!(loaded.counters.iter().all(|(_, count)| *count == 7));
    assert!(loaded.conversions.is_empty());
}

#[test]
fn a_vanilla_model_serves_every_branch() {
    let file = checkpoint(&vanilla(), str::to_owned);
    let mapping = map(&flexible(), &file, &[]).unwrap();
    for (own, source, rule) in [
        (
            "base_model.conv1.weight",
            "base_model.conv1.weight",
            Rule::Official,
        ),
        (
            "base_model.bn1_4.bias",
            "base_model.bn1.bias",
            Rule::Vanilla,
        ),
        (
            "base_model.bn1_8.bias",
            "base_model.bn1.bias",
            Rule::Vanilla,
        ),
        (
            "base_model.layer1.0.downsample_bn_8.running_var",
            "base_model.layer1.0.downsample.1.running_var",
            Rule::Vanilla,
        ),
        ("new_fc.weight", "new_fc.weight", Rule::Official),
    ] {
        assert_eq!(origin(&mapping, own), (Some(source), rule), "{own}");
    }
    let alteration = origin(&mapping, "base_model.layer1.0.adaconv_4.weight");
    assert_eq!(alteration, (None, Rule::Initial));
}

#[test]
fn torchvision_gives_all_but_alteration_and_classifier() {
    let file = torchvision();
    let mapping = map(&flexible(), &file, &[]).unwrap();
    let of_downsample = origin(&mapping, "base_model.layer1.0.downsample_conv.weight");
    let expected = Some("layer1.0.downsample.0.weight");
    assert_eq!(of_downsample, (expected, Rule::Torchvision));
    let absent: Vec<&str> = mapping
        .absent()
        .map(|row| row.wanted.name.as_str())
        .collect();
    assert_eq!(
        absent,
        [
            "base_model.layer1.0.adaconv_4.weight",
            "base_model.layer1.0.adaconv_8.weight",
            "new_fc.weight",
            "new_fc.bias"
        ]
    );
    let dropped: Vec<&str> = mapping
        .dropped
        .iter()
        .map(|d| d.source.key.as_str())
        .collect();
    assert_eq!(dropped, ["fc.weight", "fc.bias"]);
}

#[test]
fn shift_modules_of_tsm_are_seen_through() {
    let file = checkpoint(&vanilla(), |name| {
        name.replace("0.conv1.weight", "0.conv1.net.weight")
    });
    let mapping = map(&vanilla(), &file, &[]).unwrap();
    assert_eq!(
        origin(&mapping, "base_model.layer1.0.conv1.weight"),
        (
            Some("base_model.layer1.0.conv1.net.weight"),
            Rule::ShiftModule
        )
    );
}

#[test]
fn a_training_begins_with_a_classifier_of_its_own() {
    let graph = vanilla();
    let file = checkpoint(&graph, str::to_owned);
    let mapping = Mapping::new("file", &graph, &file, Purpose::Initial, &[]).unwrap();
    assert_eq!(origin(&mapping, "new_fc.weight"), (None, Rule::Initial));
    assert!(mapping.load(false).unwrap().counters.is_empty());
    assert!(
        mapping
            .dropped
            .iter()
            .any(|d| d.source.key == "new_fc.bias")
    );
}

#[test]
fn every_mistake_is_listed() {
    let mut file = checkpoint(&vanilla(), str::to_owned);
    let mut replace = |key: &str, tensor: Option<Tensor>| {
        file.tensors.retain(|tensor| tensor.key != key);
        file.tensors.extend(tensor);
    };
    replace("base_model.conv1.weight", None);
    replace(
        "base_model.bn1.weight",
        Some(floats("base_model.bn1.weight", &[2], 0.0)),
    );
    let bytes = Tensor::new("base_model.bn1.bias", vec![8], Dtype::UInt8, vec![0; 8]);
    replace("base_model.bn1.bias", Some(bytes.unwrap()));
    let negative = (-1i64).to_le_bytes().to_vec();
    let name = "base_model.bn1.num_batches_tracked";
    let counter = Tensor::new(name, vec![], Dtype::Int64, negative);
    replace(name, Some(counter.unwrap()));
    replace("", Some(floats("layer9.weight", &[1], 0.0)));
    let error = map(&vanilla(), &file, &["layer8.*"]).unwrap_err();
    assert_eq!(error.kind, Kind::Data);
    insta::assert_snapshot!(error.message, @r"
    the checkpoint does not fit the model:
      missing    base_model.conv1.weight
      shape      base_model.bn1.weight: expected [8], found [2]
      type       base_model.bn1.bias: expected floating point, found uint8
      value      base_model.bn1.num_batches_tracked: expected a whole number, not negative
      unexpected layer9.weight
      waived     layer8.*: nothing of that name is missing, left over or misshapen
    ");

    let waive = ["base_model.conv1.weight", "base_model.bn1.*", "layer9*"];
    let mapping = map(&vanilla(), &file, &waive).unwrap();
    assert_eq!(
        origin(&mapping, "base_model.bn1.weight"),
        (None, Rule::Waived)
    );
    assert_eq!(mapping.dropped.len(), 4);
    assert!(
        mapping
            .dropped
            .iter()
            .all(|dropped| dropped.why == "waived")
    );
}

#[test]
fn values_that_are_not_finite_are_named_and_counted() {
    let mut file = checkpoint(&vanilla(), str::to_owned);
    let values = [1.0, f64::NAN, f64::INFINITY, 1e300, 0.1, 0.5, 0.5, 0.5];
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let bias = Tensor::new("base_model.bn1.bias", vec![8], Dtype::Float64, bytes).unwrap();
    let place = file.tensors.iter_mut().find(|t| t.key == bias.key).unwrap();
    *place = bias;
    let graph = flexible();
    let mapping = map(&graph, &file, &[]).unwrap();
    assert_eq!(
        mapping.load(false).unwrap_err().message,
        "values that are NaN or infinite:\n  base_model.bn1.bias: 3 of 8, 1 of them beyond the range of float32"
    );
    let loaded = mapping.load(true).unwrap();
    let conversion = Conversion {
        tensors: 1,
        values: 8,
        rounded: 1,
    };
    assert_eq!(loaded.conversions["float64"], conversion);
}

/// What stands before every name is no part of it, whatever it is called.
#[test]
fn names_may_begin_with_anything() {
    let graph = flexible();
    for prefix in ["model.", "backbone.", "model._orig_mod.", "a.b.module.c."] {
        let file = checkpoint(&graph, |name| format!("{prefix}{name}"));
        let mapping = map(&graph, &file, &[]).unwrap();
        assert!(mapping.rows.iter().all(|row| row.rule == Rule::Official));
        assert!(mapping.dropped.is_empty() && mapping.prefix.copies.is_empty());
        let expected = prefix.replace("_orig_mod.", "");
        assert_eq!(mapping.prefix.taken, expected);
        assert_eq!(
            mapping.choice(&file),
            [format!("taken: names that begin with `{expected}`")]
        );
    }
    let torchvision = checkpoint(&vanilla(), |name| {
        let name = name.replace("base_model.", "").replace("new_fc.", "fc.");
        format!("backbone.{name}")
    });
    let mapping = map(&graph, &torchvision, &[]).unwrap();
    assert_eq!(
        origin(&mapping, "base_model.bn1_8.bias"),
        (Some("backbone.bn1.bias"), Rule::Torchvision)
    );
    assert_eq!(mapping.dropped.len(), 2, "the classifier of another task");
    let bare = checkpoint(&graph, str::to_owned);
    assert!(map(&graph, &bare, &[]).unwrap().choice(&bare).is_empty());
}

/// A file with two checkpoints in one dictionary.
fn both(first: &str, second: &str) -> Checkpoint {
    let of = |prefix: &str| checkpoint(&flexible(), |name| format!("{prefix}{name}"));
    let mut file = of(first);
    file.tensors.extend(of(second).tensors);
    file
}

#[test]
fn of_two_copies_the_trained_one_is_taken_and_the_other_named() {
    let graph = flexible();
    for (first, second, taken) in [
        ("ema.", "model.", "model."),
        ("model.", "ema_model.module.", "model."),
        ("teacher.", "student_network.", "student_network."),
        ("b.", "a.net.", "b."),
        ("", "averaged.", ""),
    ] {
        let mut file = both(first, second);
        let other = if taken == first { second } else { first };
        let mapping = map(&graph, &file, &[]).unwrap();
        assert_eq!(mapping.prefix.taken, taken, "{first} {second}");
        let count = wanted(&graph).len();
        assert_eq!(mapping.prefix.copies, [(other.to_owned(), count)]);
        assert_eq!(mapping.dropped.len(), count);
        assert!(!mapping.choice(&file).is_empty());
        // The other way round on request.
        file.asked = Some(other.trim_end_matches('.').to_owned());
        let mapping = map(&graph, &file, &[]).unwrap();
        assert_eq!(mapping.prefix.taken, other);
        let sources = mapping.rows.iter().filter_map(|row| row.source);
        assert_eq!(sources.clone().count(), count);
        assert!(sources.clone().all(|tensor| tensor.name.starts_with(other)));
    }
}

#[test]
fn what_only_looks_like_a_copy_is_unexpected() {
    let graph = flexible();
    let mut file = checkpoint(&graph, |name| format!("model.{name}"));
    file.tensors
        .push(floats("model.base_model.strange.weight", &[1], 0.0));
    file.tensors.push(floats("head.new_fc.bias", &[3], 0.0));
    let error = map(&graph, &file, &[]).unwrap_err().message;
    for key in ["model.base_model.strange.weight", "head.new_fc.bias"] {
        assert!(error.contains(&format!("unexpected {key}")), "{error}");
    }
    file = checkpoint(&graph, str::to_owned);
    file.asked = Some("ema".to_owned());
    let error = map(&graph, &file, &[]).unwrap_err().message;
    assert!(
        error.starts_with("--take ema: neither a dictionary"),
        "{error}"
    );
}

#[test]
fn an_object_where_a_tensor_is_needed_is_named() {
    let graph = flexible();
    let mut file = checkpoint(&graph, |name| format!("model.{name}"));
    file.tensors
        .retain(|tensor| tensor.name != "model.new_fc.bias");
    file.not_tensors.push(crate::exchange::read::Extra {
        path: "model.new_fc.bias".to_owned(),
        what: "an object of `a.B`".to_owned(),
    });
    let error = map(&graph, &file, &[]).unwrap_err().message;
    let expected = "missing    new_fc.bias: in the file it is an object of `a.B`";
    assert!(error.contains(expected), "{error}");
}

/// What `torch.optim.swa_utils.AveragedModel` writes.
#[test]
fn averages_of_pytorch_are_a_model() {
    let graph = flexible();
    let mut file = checkpoint(&graph, |name| format!("module.{name}"));
    let count = Tensor::new("n_averaged", vec![], Dtype::Int64, vec![1; 8]).unwrap();
    file.tensors.insert(0, count);
    let mapping = map(&graph, &file, &[]).unwrap();
    assert_eq!(mapping.dropped.len(), 1);
}
