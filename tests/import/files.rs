//! A pickle writer, and files around its pickles, valid or not.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The operations of protocol 2 that `torch.save` uses.
#[derive(Default, Clone)]
pub struct Pickle(pub Vec<u8>);

impl Pickle {
    pub fn new() -> Self {
        Self(vec![0x80, 2])
    }

    pub fn op(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub fn text(self, text: &str) -> Self {
        let length = (text.len() as u32).to_le_bytes();
        self.op(b"X").op(&length).op(text.as_bytes())
    }

    /// As Python 2 wrote texts.
    pub fn old_text(self, text: &str) -> Self {
        self.op(&[b'U', text.len() as u8]).op(text.as_bytes())
    }

    pub fn int(self, value: i64) -> Self {
        self.op(&[0x8a, 8]).op(&value.to_le_bytes())
    }

    pub fn global(self, module: &str, name: &str) -> Self {
        self.op(format!("c{module}\n{name}\n").as_bytes())
    }

    pub fn sizes(self, sizes: &[i64]) -> Self {
        sizes.iter().fold(self.op(b"("), |p, &n| p.int(n)).op(b"t")
    }

    /// `("storage", torch.CLASS, key, "cpu", count)` as a persistent id; the legacy format has one more element.
    pub fn storage(self, class: &str, key: &str, count: i64, legacy: bool) -> Self {
        let start = self.op(b"(").text("storage").global("torch", class);
        let end = start.text(key).text("cpu").int(count);
        end.op(if legacy { b"NtQ" } else { b"tQ" })
    }

    pub fn tensor(self, tensor: &Tensor, legacy: bool) -> Self {
        let Tensor {
            class,
            key,
            count,
            offset,
            shape,
            strides,
            ..
        } = tensor;
        self.global("torch._utils", "_rebuild_tensor_v2")
            .op(b"(")
            .storage(class, key, *count, legacy)
            .int(*offset)
            .sizes(shape)
            .sizes(strides)
            .op(&[0x89])
            .global("collections", "OrderedDict")
            .op(b")RtR")
    }

    /// A numpy array as Python 2 wrote it. `dtype` and `order` as numpy's `dtype.str` has them: `f4`, `<`.
    pub fn array(self, dtype: &str, order: &str, shape: &[i64], values: &[u8]) -> Self {
        let empty = self.global("numpy.core.multiarray", "_reconstruct");
        let empty = empty.global("numpy", "ndarray");
        let empty = empty.sizes(&[0]).old_text("b").op(b"\x87R(");
        let of_type = empty.int(1).sizes(shape).global("numpy", "dtype");
        let of_type = of_type.old_text(dtype).int(0).int(1).op(b"\x87R(");
        let of_type = of_type.int(3).old_text(order).op(b"NNN").int(-1).int(-1);
        let length = (values.len() as u32).to_le_bytes();
        let with_type = of_type.int(0).op(b"tb\x89T");
        with_type.op(&length).op(values).op(b"tb")
    }

    /// An OrderedDict of tensors.
    pub fn state_dict(self, tensors: &[Tensor], legacy: bool) -> Self {
        let start = self.global("collections", "OrderedDict").op(b")R(");
        let items = tensors.iter();
        let items = items.fold(start, |p, t| p.text(&t.name).tensor(t, legacy));
        items.op(b"u")
    }

    pub fn end(self) -> Vec<u8> {
        self.op(b".").0
    }
}

/// A tensor and what is claimed about its storage.
#[derive(Clone)]
pub struct Tensor {
    pub name: String,
    pub class: &'static str,
    pub key: String,
    pub count: i64,
    pub offset: i64,
    pub shape: Vec<i64>,
    pub strides: Vec<i64>,
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// Row-major float32 in a storage of its own, called like the tensor.
    pub fn floats(name: &str, shape: &[i64], values: &[f32]) -> Self {
        let strides = (0..shape.len()).map(|i| shape[i + 1..].iter().product());
        Self {
            name: name.to_owned(),
            class: "FloatStorage",
            key: name.to_owned(),
            count: values.len() as i64,
            offset: 0,
            shape: shape.to_vec(),
            strides: strides.collect(),
            bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }
}

/// Two small tensors.
pub fn tensors() -> Vec<Tensor> {
    vec![
        Tensor::floats("a.weight", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        Tensor::floats("a.bias", &[2], &[-1.0, 0.5]),
    ]
}

/// A zip archive of entries.
pub fn archive(entries: &[(String, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in entries {
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// What PyTorch has written since 1.6, around any pickle.
pub fn zipped(pickle: Vec<u8>, tensors: &[Tensor]) -> Vec<u8> {
    archive(&entries(pickle, tensors), CompressionMethod::Stored)
}

pub fn entries(pickle: Vec<u8>, tensors: &[Tensor]) -> Vec<(String, Vec<u8>)> {
    let mut entries = vec![("x/data.pkl".to_owned(), pickle)];
    for tensor in tensors {
        let name = format!("x/data/{}", tensor.key);
        if entries.iter().all(|(n, _)| *n != name) {
            entries.push((name, tensor.bytes.clone()));
        }
    }
    entries
}

/// What PyTorch wrote before, around any pickle.
pub fn legacy(pickle: Vec<u8>, tensors: &[Tensor]) -> Vec<u8> {
    let magic = [
        0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19,
    ];
    let mut file = Pickle::new().op(&magic).end();
    file.extend(Pickle::new().int(1001).end());
    file.extend(Pickle::new().op(b"}").end());
    file.extend(pickle);
    let keys = tensors
        .iter()
        .fold(Pickle::new().op(b"]("), |p, t| p.text(&t.key));
    file.extend(keys.op(b"e").end());
    for tensor in tensors {
        file.extend(tensor.count.to_le_bytes());
        file.extend(&tensor.bytes);
    }
    file
}

/// The two tensors as PyTorch writes them, and as safetensors.
pub fn valid() -> [Vec<u8>; 4] {
    let tensors = tensors();
    let pickle = |legacy| Pickle::new().state_dict(&tensors, legacy).end();
    let deflated = archive(
        &entries(pickle(false), &tensors),
        CompressionMethod::Deflated,
    );
    [
        zipped(pickle(false), &tensors),
        deflated,
        legacy(pickle(true), &tensors),
        safetensors(&tensors),
    ]
}

pub fn safetensors(tensors: &[Tensor]) -> Vec<u8> {
    use safetensors::{Dtype, tensor::TensorView};
    let views = tensors.iter().map(|t| {
        let shape = t.shape.iter().map(|&n| n as usize).collect();
        (
            &t.name,
            TensorView::new(Dtype::F32, shape, &t.bytes).unwrap(),
        )
    });
    safetensors::serialize(views, None).unwrap()
}
