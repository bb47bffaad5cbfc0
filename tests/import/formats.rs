//! Files as PyTorch writes them, made here: every format, dtype, kind of view and nesting.

use ffn::exchange::read::{Checkpoint, Dtype, Format, parse};

use crate::files::*;

fn values(checkpoint: &Checkpoint, name: &str) -> Vec<f32> {
    let tensor = checkpoint.tensors.iter().find(|t| t.name == name).unwrap();
    tensor.floats().unwrap().values
}

#[test]
fn every_format_gives_the_same_tensors() {
    let formats = [
        Format::PyTorchZip,
        Format::PyTorchZip,
        Format::PyTorchLegacy,
        Format::SafeTensors,
    ];
    for (bytes, format) in valid().iter().zip(formats) {
        let read = parse(bytes).unwrap();
        assert_eq!(read.format, format);
        assert_eq!(read.tensors.len(), 2);
        assert_eq!(values(&read, "a.weight"), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(values(&read, "a.bias"), [-1.0, 0.5]);
        assert!(read.extras.is_empty());
    }
}

#[test]
fn tensors_may_share_a_storage_and_stand_in_any_order() {
    let whole = Tensor::floats("whole", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let view = |name: &str, offset, shape: &[i64], strides: &[i64]| Tensor {
        name: name.to_owned(),
        offset,
        shape: shape.to_vec(),
        strides: strides.to_vec(),
        ..whole.clone()
    };
    let tensors = [
        view("transposed", 0, &[3, 2], &[1, 3]),
        view("tail", 4, &[2], &[1]),
        view("expanded", 1, &[2, 2], &[0, 1]),
        view("scalar", 5, &[], &[]),
        view("nothing", 0, &[0, 7], &[7, 1]),
    ];
    let pickle = |legacy| Pickle::new().state_dict(&tensors, legacy).end();
    let shared = &tensors[..1];
    for bytes in [zipped(pickle(false), shared), legacy(pickle(true), shared)] {
        let read = parse(&bytes).unwrap();
        assert_eq!(values(&read, "transposed"), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(values(&read, "tail"), [5.0, 6.0]);
        assert_eq!(values(&read, "expanded"), [2.0, 3.0, 2.0, 3.0]);
        assert_eq!(values(&read, "scalar"), [6.0]);
        assert!(values(&read, "nothing").is_empty());
        let order: Vec<&str> = read.tensors.iter().map(|t| t.name.as_str()).collect();
        let expected: Vec<&str> = tensors.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(order, expected);
    }
}

#[test]
fn every_dtype_of_pytorch_is_known() {
    for (class, dtype) in [
        ("DoubleStorage", Dtype::Float64),
        ("FloatStorage", Dtype::Float32),
        ("HalfStorage", Dtype::Float16),
        ("BFloat16Storage", Dtype::BFloat16),
        ("LongStorage", Dtype::Int64),
        ("IntStorage", Dtype::Int32),
        ("ShortStorage", Dtype::Int16),
        ("CharStorage", Dtype::Int8),
        ("ByteStorage", Dtype::UInt8),
        ("BoolStorage", Dtype::Bool),
    ] {
        let tensor = Tensor {
            class,
            bytes: vec![1; 2 * dtype.size()],
            ..Tensor::floats("t", &[2], &[0.0; 2])
        };
        let tensors = [tensor];
        let read = parse(&zipped(
            Pickle::new().state_dict(&tensors, false).end(),
            &tensors,
        ));
        assert_eq!(read.unwrap().tensors[0].dtype, dtype, "{class}");
    }
}

/// What training programs put around a state dictionary, in the words of Python 2 and 3.
#[test]
fn what_stands_around_the_weights_is_listed() {
    let tensors: Vec<Tensor> = tensors()
        .into_iter()
        .map(|t| Tensor {
            name: format!("module.{}", t.name),
            ..t
        })
        .collect();
    let pickle = Pickle::new()
        .op(b"}(")
        .text("epoch")
        .int(50)
        .old_text("arch")
        .old_text("resnet50")
        .text("best_prec1")
        .global("numpy.core.multiarray", "scalar")
        .global("numpy", "dtype")
        .text("f8")
        .int(0)
        .int(1)
        .op(&[0x87])
        .op(b"R")
        .op(b"C\x08\0\0\0\0\0\0\0\0")
        .op(&[0x86])
        .op(b"R")
        .text("args")
        .global("argparse", "Namespace")
        .op(b")\x81}(")
        .text("lr")
        .op(b"G\x3f\x84\x7a\xe1\x47\xae\x14\x7b")
        .op(b"ub")
        .text("state_dict")
        .state_dict(&tensors, false)
        .op(b"}")
        .text("_metadata")
        .op(b"}sb")
        .text("optimizer")
        .op(b"}(")
        .text("state")
        .op(b"}")
        .text("param_groups")
        .op(b"]u")
        .text("best")
        .tensor(&Tensor::floats("unread", &[], &[0.0]), false)
        .op(b"u");
    let read = parse(&zipped(pickle.end(), &tensors)).unwrap();
    let names: Vec<_> = read
        .tensors
        .iter()
        .map(|t| (t.name.as_str(), t.key.as_str()))
        .collect();
    let expected = [("a.weight", "module.a.weight"), ("a.bias", "module.a.bias")];
    assert_eq!(names, expected);
    let extras: Vec<String> = read
        .extras
        .iter()
        .map(|e| format!("{}: {}", e.path, e.what))
        .collect();
    insta::assert_snapshot!(extras.join("\n"), @r#"
    epoch: 50
    arch: "resnet50"
    best_prec1: a numpy value
    args: argparse.Namespace
    optimizer: a dictionary of 2
    best: a tensor [] of float32
    "#);
}

/// Python 2 pickles an OrderedDict as a list of pairs.
#[test]
fn state_dictionaries_of_python_2() {
    let tensors = tensors();
    let start = Pickle::new().global("collections", "OrderedDict").op(b"](");
    let pairs = tensors.iter().fold(start, |p, t| {
        p.op(b"](").old_text(&t.name).tensor(t, true).op(b"e")
    });
    let read = parse(&legacy(pairs.op(b"e\x85R").end(), &tensors)).unwrap();
    assert_eq!(values(&read, "a.bias"), [-1.0, 0.5]);
}

#[test]
fn values_with_their_highest_byte_first() {
    let mut tensors = tensors();
    for tensor in &mut tensors {
        tensor.bytes.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    }
    let mut entries = entries(Pickle::new().state_dict(&tensors, false).end(), &tensors);
    entries.push(("x/byteorder".to_owned(), b"big".to_vec()));
    let read = parse(&archive(&entries, zip::CompressionMethod::Stored)).unwrap();
    assert_eq!(values(&read, "a.bias"), [-1.0, 0.5]);
}

#[test]
fn a_nesting_of_any_usual_name_is_found() {
    for name in [
        "state_dict",
        "model",
        "model_state",
        "model_state_dict",
        "net",
    ] {
        let tensors = tensors();
        let pickle = Pickle::new()
            .op(b"}")
            .text(name)
            .state_dict(&tensors, false)
            .op(b"s");
        let read = parse(&zipped(pickle.end(), &tensors)).unwrap();
        assert_eq!(read.tensors.len(), 2, "{name}");
    }
}

fn bytes<const N: usize>(values: &[f32], to: fn(f32) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&v| to(v)).collect()
}

/// The weights that PySlowFast publishes for Caffe2: blobs beside a configuration.
#[test]
fn numpy_arrays_of_caffe2_are_read() {
    let values = [1.5, -2.0, 0.25, 4.0];
    let little = bytes(&values, f32::to_le_bytes);
    let big = bytes(&values[..2], f32::to_be_bytes);
    let pickle = Pickle::new().op(b"}(").old_text("blobs").op(b"}(");
    let pickle = pickle
        .old_text("conv1_w")
        .array("f4", "<", &[2, 2], &little);
    let pickle = pickle.old_text("t_pred_b").array("f4", ">", &[2], &big);
    let pickle = pickle.old_text("model_iter").int(7).op(b"u");
    let file = pickle.old_text("cfg").old_text("MODEL: {}").op(b"u").end();
    let read = parse(&file).unwrap();
    assert_eq!(
        (read.format, read.taken.as_str()),
        (Format::Caffe2, "blobs")
    );
    assert_eq!(self::values(&read, "conv1_w"), values);
    assert_eq!(read.tensors[0].shape, [2, 2]);
    assert_eq!(self::values(&read, "t_pred_b"), values[..2]);
    let beside: Vec<&str> = read.not_tensors.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(beside, ["model_iter"]);
    let beside: Vec<&str> = read.extras.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(beside, ["cfg"]);
    for length in 0..file.len() {
        // Whatever is cut off, it is an error or another file, not a panic.
        let _ = parse(&file[..length]);
    }
    let short = Pickle::new().op(b"}(").old_text("blobs").op(b"}(");
    let short = short
        .old_text("conv1_w")
        .array("f4", "<", &[2, 2], &little[..12]);
    let error = parse(&short.op(b"uu").end()).err().unwrap();
    assert!(error.to_string().contains("conv1_w"), "{error}");
}
