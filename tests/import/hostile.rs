//! Files that lie, are cut off, or want something executed.

use ffn::exchange::read::parse;
use zip::CompressionMethod;

use crate::files::*;
use crate::limit::InTime;

/// A file of one tensor, changed.
fn lying(change: impl FnOnce(&mut Tensor)) -> Vec<u8> {
    let mut tensor = Tensor::floats("a.weight", &[2, 3], &[0.0; 6]);
    change(&mut tensor);
    let tensors = [tensor];
    zipped(Pickle::new().state_dict(&tensors, false).end(), &tensors)
}

fn running(program: Pickle) -> Vec<u8> {
    zipped(program.end(), &[])
}

/// `callable(argument)`
fn call(module: &str, name: &str, argument: &str) -> Vec<u8> {
    running(
        Pickle::new()
            .global(module, name)
            .text(argument)
            .op(b"\x85R"),
    )
}

/// A safetensors file with this header and so many bytes behind it.
fn header(json: &str, bytes: usize) -> Vec<u8> {
    let length = (json.len() as u64).to_le_bytes();
    [&length[..], json.as_bytes(), &vec![0; bytes]].concat()
}

/// A zip archive whose end record for many entries claims so many.
fn claiming(entries: u64) -> Vec<u8> {
    let mut bytes = valid()[0].clone();
    let end = bytes.len() - 22;
    let end = bytes.split_off(end);
    let record = bytes.len() as u64;
    bytes.extend(b"PK\x06\x06");
    bytes.extend(44u64.to_le_bytes());
    bytes.extend([45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for field in [entries, entries, entries.saturating_mul(46), 0] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend(record.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(&end[..8]);
    bytes.extend([0xff; 12]);
    bytes.extend(&end[20..]);
    bytes
}

/// A state dictionary in which something else stands where a tensor should.
fn instead_of_a_tensor(object: impl FnOnce(Pickle) -> Pickle) -> Vec<u8> {
    running(object(Pickle::new().op(b"}").text("conv1.weight")).op(b"s"))
}

/// The bytes with every `from` replaced by `to` of the same length.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in 0..=bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    bytes
}

/// Every case with the error that a person reads.
pub fn cases() -> Vec<(&'static str, Vec<u8>)> {
    let [stored, _, old, _] = valid();
    let ten_gigabytes = |tensor: &mut Tensor| {
        (tensor.count, tensor.shape, tensor.strides) =
            (2_684_354_560, vec![2_684_354_560], vec![1]);
    };
    let pickle = |legacy| Pickle::new().state_dict(&tensors(), legacy).end();
    let twice = [tensors(), tensors()].concat();
    let same_entries = {
        let entry = |name: &str| (name.to_owned(), vec![]);
        let entries = [entry("x/data.pkl"), entry("x/data/1"), entry("x/data/2")];
        let bytes = archive(&entries, CompressionMethod::Stored);
        replaced(&bytes, b"x/data/2", b"x/data/1")
    };
    vec![
        ("os.system", call("posix", "system", "touch /tmp/owned")),
        (
            "os.system, by its other name",
            call("os", "system", "touch /tmp/owned"),
        ),
        ("builtins.eval", call("builtins", "eval", "1")),
        (
            "a global by STACK_GLOBAL",
            running(Pickle::new().text("builtins").text("exec").op(b"\x93")),
        ),
        (
            "an instance by INST",
            running(Pickle::new().op(b"(ios\nsystem\n")),
        ),
        (
            "a module's source",
            running(Pickle::new().op(b"(").text("module").op(b"NtQ")),
        ),
        (
            "bytes of another file",
            call("torch.storage", "_load_from_bytes", "x"),
        ),
        (
            "a text is called",
            running(Pickle::new().text("x").op(b")R")),
        ),
        (
            "the extension registry",
            running(Pickle::new().op(b"\x82\x01")),
        ),
        ("10 GB in 1 kB", lying(ten_gigabytes)),
        (
            "10 GB in 1 kB by strides",
            lying(|t| (t.shape, t.strides) = (vec![50_000, 50_000], vec![0, 0])),
        ),
        ("a view beyond its storage", lying(|t| t.offset = 1)),
        (
            "a stride beyond its storage",
            lying(|t| t.strides = vec![i64::MAX, 1]),
        ),
        ("a negative shape", lying(|t| t.shape = vec![-2, 3])),
        (
            "a shape that overflows",
            lying(|t| t.shape = vec![i64::MAX, i64::MAX]),
        ),
        (
            "nine dimensions",
            lying(|t| (t.shape, t.strides) = (vec![1; 9], vec![1; 9])),
        ),
        (
            "more strides than dimensions",
            lying(|t| t.strides = vec![3, 1, 1]),
        ),
        (
            "a storage shorter than declared",
            lying(|t| (t.count, t.bytes) = (6, vec![0; 20])),
        ),
        (
            "a storage longer than declared",
            lying(|t| t.bytes = vec![0; 28]),
        ),
        ("a storage that is not there", zipped(pickle(false), &[])),
        (
            "a key twice",
            zipped(Pickle::new().state_dict(&twice, false).end(), &tensors()),
        ),
        ("a key twice, once with module.", {
            let mut both = tensors();
            both[1].name = "module.a.weight".to_owned();
            zipped(Pickle::new().state_dict(&both, false).end(), &both)
        }),
        (
            "a key with an escape sequence",
            lying(|t| t.name = "\u{1b}[2Jgone".to_owned()),
        ),
        (
            "no tensors",
            running(Pickle::new().op(b"}").text("epoch").int(1).op(b"s")),
        ),
        ("no dictionary", running(Pickle::new().int(1))),
        (
            "no data.pkl",
            archive(&[("x/y".to_owned(), vec![])], CompressionMethod::Stored),
        ),
        (
            "a TorchScript module",
            archive(
                &[
                    ("x/data.pkl".to_owned(), vec![]),
                    ("x/constants.pkl".to_owned(), vec![]),
                ],
                CompressionMethod::Stored,
            ),
        ),
        ("a zip entry twice", same_entries),
        (
            "a zip bomb",
            archive(
                &[("x/data.pkl".to_owned(), vec![b'N'; 9 << 20])],
                CompressionMethod::Deflated,
            ),
        ),
        ("a zip that is cut off", stored[..stored.len() / 2].to_vec()),
        ("a bit that fell over", {
            let mut bytes = stored.clone();
            let at = bytes
                .windows(4)
                .position(|w| w == 6.0f32.to_le_bytes())
                .unwrap();
            bytes[at] ^= 1;
            bytes
        }),
        ("legacy that is cut off", old[..old.len() - 1].to_vec()),
        (
            "legacy with another size before a storage",
            legacy(pickle(true), &{
                let mut tensors = tensors();
                tensors[1].count = 1 << 40;
                tensors
            }),
        ),
        (
            "legacy with a storage of no tensor",
            legacy(pickle(true), &{
                let mut tensors = tensors();
                tensors.push(Tensor::floats("c", &[], &[0.0]));
                tensors
            }),
        ),
        ("an empty pickle", running(Pickle::new())),
        (
            "a stack that is popped when empty",
            running(Pickle::new().op(b"0")),
        ),
        ("an open mark", running(Pickle::new().op(b"t"))),
        (
            "a memo that was not written",
            running(Pickle::new().op(b"h\x05")),
        ),
        (
            "a text longer than the file",
            running(Pickle::new().op(b"X\xff\xff\xff\xff")),
        ),
        (
            "a text of 2^64 bytes",
            running(Pickle::new().op(&[0x8d]).op(&[0xff; 8])),
        ),
        ("protocol 9", running(Pickle::default().op(b"\x80\x09"))),
        (
            "a million objects",
            running((0..=1 << 20).fold(Pickle::new(), |p, _| p.op(b"]"))),
        ),
        ("an argument list that is copied for ever", {
            let items = (0..1 << 10).fold(Pickle::new().op(b"("), |p, _| p.op(b"N"));
            let calls = items
                .op(b"tq\x000")
                .global("argparse", "Namespace")
                .op(b"q\x01");
            running((0..1 << 12).fold(calls, |p, _| p.op(b"h\x01h\x00R")))
        }),
        (
            "safetensors with a key twice",
            header(
                r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
                4,
            ),
        ),
        (
            "safetensors that declares 10 GB",
            header(
                r#"{"a":{"dtype":"F32","shape":[2684354560],"data_offsets":[0,10737418240]}}"#,
                16,
            ),
        ),
        (
            "safetensors whose header leaves the file",
            [&[0xff; 7][..], b"\0{"].concat(),
        ),
        (
            "safetensors of 8-bit floats",
            header(
                r#"{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}"#,
                1,
            ),
        ),
        (
            "a header of safetensors as no model has it",
            header(&format!("{{{}}}", " ".repeat(5 << 20)), 0),
        ),
        (
            "safetensors with a name of 600 letters",
            header(
                &format!(
                    r#"{{"{}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#,
                    "a".repeat(600)
                ),
                4,
            ),
        ),
        (
            "safetensors of nine dimensions",
            header(
                r#"{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}"#,
                4,
            ),
        ),
        ("more tensors than any model has", {
            let keys: Vec<String> = (0..60_000).map(|n| format!("\"{n}\":0")).collect();
            header(&format!("{{{}}}", keys.join(",")), 0)
        }),
        ("a zip archive that claims 2^60 entries", claiming(1 << 60)),
        ("a zip archive that claims 60000 entries", claiming(60_000)),
        (
            "a stack of a million times the same",
            running((0..=1 << 20).fold(Pickle::new().op(b"N"), |p, _| p.op(b"2"))),
        ),
        (
            "marks without end",
            running((0..=1 << 20).fold(Pickle::new(), |p, _| p.op(b"("))),
        ),
        (
            "an object of an unknown class is called",
            running(Pickle::new().global("a.b", "C").op(b")R)R")),
        ),
        (
            "tensors of classes inside one another",
            running(
                Pickle::new()
                    .global("torch._tensor", "_rebuild_from_type_v2")
                    .op(b"(")
                    .global("torch._tensor", "_rebuild_from_type_v2")
                    .op(b"N)NtR"),
            ),
        ),
        (
            "a whole model",
            running(
                Pickle::new()
                    .global("torchvision.models.resnet", "ResNet")
                    .op(b")\x81}b"),
            ),
        ),
        (
            "a whole model in a dictionary",
            running(
                Pickle::new()
                    .op(b"}")
                    .text("model")
                    .global("models.yolo", "Model")
                    .op(b")\x81}bs"),
            ),
        ),
        (
            "an array of numpy instead of a tensor",
            instead_of_a_tensor(|p| p.global("numpy.core.multiarray", "_reconstruct").op(b")R")),
        ),
        (
            "a tensor of complex numbers",
            instead_of_a_tensor(|p| {
                p.tensor(
                    &Tensor {
                        class: "ComplexFloatStorage",
                        ..Tensor::floats("t", &[1], &[0.0])
                    },
                    false,
                )
            }),
        ),
        ("two dictionaries of unusual names", {
            let pickle = Pickle::new()
                .op(b"}")
                .text("raw")
                .state_dict(&tensors(), false);
            let pickle = pickle.op(b"s").text("ema").state_dict(&tensors(), false);
            zipped(pickle.op(b"s").end(), &tensors())
        }),
        (
            "a zip archive of checkpoints",
            archive(
                &["a.pth", "b.pth", "c", "d", "e"].map(|name| (name.to_owned(), vec![])),
                CompressionMethod::Stored,
            ),
        ),
        (
            "numpy's archive",
            archive(
                &[("conv1.weight.npy".to_owned(), vec![])],
                CompressionMethod::Stored,
            ),
        ),
        ("nothing", vec![]),
        ("zeros", vec![0; 4096]),
        (
            "a pointer of Git LFS",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 102530333\n"
                .to_vec(),
        ),
        (
            "a pointer of git-annex",
            b"/annex/objects/SHA256E-s102530333--4d7a.pth\n".to_vec(),
        ),
        (
            "an answer in JSON",
            b"{\"data\":{\"error\": \"\x1b[31mrate limit\"}}".to_vec(),
        ),
        (
            "JSON with a brace in the ninth place",
            b"{\"data\":{\"error\": \"rate limit\"}}".to_vec(),
        ),
        (
            "the index of a checkpoint in several files",
            b"{\n  \"metadata\": {},\n  \"weight_map\": {\"a\": \"model-1.safetensors\"}\n}"
                .to_vec(),
        ),
        (
            "an answer in XML",
            b"\xef\xbb\xbf<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>".to_vec(),
        ),
        ("a page that begins with a line", {
            b"\n\n <html lang=en><head><title>Google Drive - Virus scan warning</title>".to_vec()
        }),
        (
            "a line of text",
            "Zugriff verweigert \u{fc}ber\u{202e}".into(),
        ),
        ("HDF5", b"\x89HDF\r\n\x1a\n\0\0".to_vec()),
        ("a pickle of protocol 0", b"(dp0\nS'a'\np1\nI1\ns.".to_vec()),
        (
            "a tar archive",
            [&[0; 257][..], b"ustar\0", &[0; 249]].concat(),
        ),
        ("gzip", vec![0x1f, 0x8b, 8, 0]),
        ("a bare pickle", Pickle::new().op(b"}").end()),
        ("a web page", b"<!DOCTYPE html><title>403</title>".to_vec()),
    ]
}

#[test]
fn every_hostile_file_is_refused_with_its_reason() {
    let told: Vec<String> = cases()
        .into_iter()
        .map(|(name, bytes)| match parse(&bytes) {
            Err(error) => format!("== {name}\n{error}"),
            Ok(read) => panic!("{name}: read as {:?}", read.tensors),
        })
        .collect();
    insta::assert_snapshot!(told.join("\n\n"));
}

#[test]
fn a_file_cut_off_anywhere_is_an_error() {
    for whole in valid() {
        parse(&whole).unwrap();
        for end in 0..whole.len() {
            assert!(
                parse(&whole[..end]).is_err(),
                "{end} of {} bytes",
                whole.len()
            );
        }
    }
}

/// A thousand lists, each of the next ten times: 10^1000 elements if anybody walked over them.
#[test]
fn lists_in_lists_are_not_unfolded() {
    let start = Pickle::new().op(b"}(").text("laughs").op(b"]");
    let laughs = (0..1000).fold(start, |p, _| {
        p.op(b"q\x000](").op(&b"h\x00".repeat(10)).op(b"e")
    });
    let tensors = tensors();
    let pickle = laughs.text("model").state_dict(&tensors, false).op(b"u");
    let read = parse(&zipped(pickle.end(), &tensors)).unwrap();
    assert_eq!(read.extras[0].what, "a list of 10");
}

/// A dictionary that holds itself.
#[test]
fn cycles_are_no_problem() {
    let tensors = tensors();
    let pickle = Pickle::new()
        .op(b"}q\x00(")
        .text("model")
        .op(b"h\x00")
        .text("self")
        .op(b"h\x00u");
    assert!(parse(&zipped(pickle.end(), &tensors)).is_err());
}

/// Every hostile file through the program, with 300 MB of address space, which the program itself nearly fills.
#[cfg(target_os = "linux")]
#[test]
fn memory_stays_small_whatever_a_file_declares() {
    use std::process::Command;
    let place = tempfile::tempdir().unwrap();
    for (number, (name, bytes)) in cases().into_iter().enumerate() {
        let path = place.path().join(number.to_string());
        std::fs::write(&path, bytes).unwrap();
        let output = Command::new("sh")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args([
                "-c",
                "ulimit -v 300000; exec \"$0\" \"$@\"",
                env!("CARGO_BIN_EXE_ffn"),
            ])
            .args([
                "import",
                path.to_str().unwrap(),
                "--experiment",
                "fixtures/experiments/tiny.ron",
            ])
            .in_time();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{name}: {told}");
    }
    assert!(!std::path::Path::new("/tmp/owned").exists());
}
