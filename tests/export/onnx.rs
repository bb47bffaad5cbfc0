//! ONNX: the messages are well formed, and ONNX Runtime computes what our engine computes.

use std::collections::{BTreeMap, BTreeSet};

use ffn::exchange::onnx::proto::{DataType, ModelProto, TensorProto};
use ffn::exchange::onnx::{self, Export, Frames};
use ffn::exchange::write::Notes;
use ffn::graph::Graph;
use ffn::model::Model;
use ffn::spec::{Backbone, Block, Experiment, ResNet, ShiftPlace, Stem};
use prost::Message;
use serde_json::{Value, json};

use super::models::*;
use super::peer::Peer;
use super::python::python;

/// How many random models are tried.
const MODELS: u64 = 12;

fn encode(model: &Model, graph: &Graph, branch: usize, frames: Frames) -> Vec<u8> {
    onnx::encode(&Export {
        name: "test",
        graph,
        entries: &model.state_dict().unwrap().entries(),
        branch,
        frames,
        notes: &Notes::from([("branch".to_owned(), branch.to_string())]),
    })
    .unwrap()
}

/// Adds a job for each frame count, fixed and open, with the branch that serves it.
fn add(jobs: &mut Vec<Value>, peer: &mut Peer, experiment: &Experiment, counts: &[usize]) {
    let (mut model, graph) = (build(experiment), graph(experiment));
    for &frames in counts {
        let branch = graph.branch_for(frames);
        for count in [Frames::Fixed(frames), Frames::Any] {
            let number = jobs.len();
            let mut job = peer.ask(&format!("job {number} ({count})"), &mut model, frames);
            let bytes = encode(&model, &graph, branch, count);
            job["model"] = json!(peer.file(&format!("{number}.onnx"), &bytes));
            jobs.push(job);
        }
    }
}

#[test]
fn onnx_runtime_computes_what_we_compute() {
    let Some(python) = python(&["numpy", "onnx", "onnxruntime"]) else {
        return;
    };
    let (mut jobs, mut peer) = (Vec::new(), Peer::new());
    for number in 0..MODELS {
        add(&mut jobs, &mut peer, &random(number), &[1, 2, 4, 7]);
    }
    let count = jobs.len();
    let largest = peer.compare(python, "run_onnx.py", &Value::Array(jobs));
    println!("{count} comparisons, largest error {largest:.1e}");
}

#[test]
fn onnx_runtime_computes_a_real_resnet_50() {
    let Some(python) = python(&["numpy", "onnx", "onnxruntime"]) else {
        return;
    };
    let (mut jobs, mut peer) = (Vec::new(), Peer::new());
    let experiment = of(flexible(&[4, 8]), Backbone::ResNet50, 64);
    add(&mut jobs, &mut peer, &experiment, &[8]);
    let largest = peer.compare(python, "run_onnx.py", &Value::Array(jobs));
    println!("largest error {largest:.1e}");
}

fn small() -> Experiment {
    let backbone = Backbone::ResNet(ResNet {
        block: Block::Basic,
        blocks: vec![1, 1],
        width: 8,
        stem: Stem::Small,
    });
    of(flexible(&[2, 4]), backbone, 12)
}

fn decoded(experiment: &Experiment, frames: Frames) -> ModelProto {
    let graph = graph(experiment);
    let bytes = encode(&build(experiment), &graph, graph.branches.len() - 1, frames);
    ModelProto::decode(bytes.as_slice()).unwrap()
}

/// One line for each node: name, operator, inputs.
fn listing(model: &ModelProto) -> String {
    let nodes = model.graph.as_ref().unwrap().node.iter();
    let lines = nodes.map(|n| {
        format!(
            "{} = {}({})\n",
            n.output.join(", "),
            n.op_type,
            n.input.join(", ")
        )
    });
    lines.collect()
}

#[test]
fn operators_of_a_small_model() {
    insta::assert_snapshot!("fixed", listing(&decoded(&small(), Frames::Fixed(4))));
    insta::assert_snapshot!("any", listing(&decoded(&small(), Frames::Any)));
}

#[test]
fn operators_of_a_shift_after_the_first_convolution() {
    let mut experiment = small();
    experiment.model.tsm_mut().unwrap().shift.place = ShiftPlace::AfterFirstConv;
    let model = decoded(&experiment, Frames::Fixed(4));
    let text = listing(&model);
    assert_eq!(text.matches("BatchNormalization").count(), 2, "{text}");
}

#[test]
fn every_model_is_well_formed() {
    for number in 0..MODELS {
        for frames in [Frames::Fixed(3), Frames::Any] {
            well_formed(&decoded(&random(number), frames));
        }
    }
}

/// Names are given once and before they are read, nothing is left over, and tensors are as large as they say.
pub fn well_formed(model: &ModelProto) {
    let graph = model.graph.as_ref().unwrap();
    let mut sizes: BTreeMap<&str, &TensorProto> = BTreeMap::new();
    let mut given: BTreeSet<&str> = graph.input.iter().map(|i| i.name.as_str()).collect();
    for tensor in &graph.initializer {
        let count: i64 = tensor.dims.iter().product();
        let width = match DataType::try_from(tensor.data_type).unwrap() {
            DataType::Float => 4,
            DataType::Int64 => 8,
            DataType::Undefined => panic!("{}", tensor.name),
        };
        assert_eq!(
            tensor.raw_data.len() as i64,
            count * width,
            "{}",
            tensor.name
        );
        assert!(given.insert(&tensor.name), "twice: {}", tensor.name);
        sizes.insert(&tensor.name, tensor);
    }
    let mut read = BTreeSet::new();
    for node in &graph.node {
        for input in &node.input {
            assert!(
                given.contains(input.as_str()),
                "{}: {input} is not there yet",
                node.name
            );
            read.insert(input.as_str());
        }
        for output in &node.output {
            assert!(given.insert(output), "twice: {output}");
        }
        if node.op_type == "Conv" {
            let kernel = node
                .attribute
                .iter()
                .find(|a| a.name == "kernel_shape")
                .unwrap();
            assert_eq!(sizes[node.input[1].as_str()].dims[2..], kernel.ints);
            assert!(
                node.input.len() < 3
                    || sizes[node.input[2].as_str()].dims
                        == sizes[node.input[1].as_str()].dims[..1]
            );
        }
    }
    read.extend(graph.output.iter().map(|o| o.name.as_str()));
    assert_eq!(read, given, "values that nobody reads");
}

#[test]
fn the_same_model_has_the_same_bytes() {
    let (experiment, graph) = (small(), graph(&small()));
    let bytes = || encode(&build(&experiment), &graph, 0, Frames::Any);
    assert_eq!(bytes(), bytes());
}

#[test]
fn weights_of_another_model_and_unknown_branches_are_refused() {
    let backbone = small().model.tsm().unwrap().backbone.clone();
    let vanilla = build(&of(vanilla(4), backbone, 12));
    let refused = |branch| {
        let export = onnx::encode(&Export {
            name: "test",
            graph: &graph(&small()),
            entries: &vanilla.state_dict().unwrap().entries(),
            branch,
            frames: Frames::Any,
            notes: &Notes::new(),
        });
        export.unwrap_err().message
    };
    assert_eq!(refused(0), "the weights lack `base_model.bn1_2.weight`");
    assert_eq!(refused(2), "there is no branch number 2");
}
