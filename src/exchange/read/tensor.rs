//! A tensor of a file, and its values as float32.

use super::{Result, fault};

/// What PyTorch calls the type of a tensor's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dtype {
    Float64,
    Float32,
    Float16,
    BFloat16,
    Int64,
    Int32,
    Int16,
    Int8,
    UInt8,
    Bool,
}

impl Dtype {
    pub fn name(self) -> &'static str {
        match self {
            Dtype::Float64 => "float64",
            Dtype::Float32 => "float32",
            Dtype::Float16 => "float16",
            Dtype::BFloat16 => "bfloat16",
            Dtype::Int64 => "int64",
            Dtype::Int32 => "int32",
            Dtype::Int16 => "int16",
            Dtype::Int8 => "int8",
            Dtype::UInt8 => "uint8",
            Dtype::Bool => "bool",
        }
    }

    /// By numpy's code for it, without the order of bytes.
    pub fn of_numpy(code: &str) -> Option<Self> {
        Some(match code {
            "f8" => Self::Float64,
            "f4" => Self::Float32,
            "f2" => Self::Float16,
            "i8" => Self::Int64,
            "i4" => Self::Int32,
            "i2" => Self::Int16,
            "i1" => Self::Int8,
            "u1" => Self::UInt8,
            "b1" => Self::Bool,
            _ => return None,
        })
    }

    /// Bytes of one value.
    pub fn size(self) -> usize {
        match self {
            Dtype::Float64 | Dtype::Int64 => 8,
            Dtype::Float32 | Dtype::Int32 => 4,
            Dtype::Float16 | Dtype::BFloat16 | Dtype::Int16 => 2,
            Dtype::Int8 | Dtype::UInt8 | Dtype::Bool => 1,
        }
    }
}

/// A named tensor as it stands in its file.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    /// Without what PyTorch's own wrappers put into every key: see [`name_of`].
    pub name: String,
    /// The key in the file.
    pub key: String,
    pub shape: Vec<usize>,
    pub dtype: Dtype,
    /// Row-major, little-endian; as many as shape and dtype say.
    pub bytes: Vec<u8>,
}

/// What PyTorch's wrappers put anywhere into a key: compilation, sharding, recomputing.
const WRAPPERS: [&str; 3] = [
    "_orig_mod.",
    "_fsdp_wrapped_module.",
    "_checkpoint_wrapped_module.",
];

/// The key without what PyTorch's own wrappers put into it, whose names no model has; and without the `module.` of
/// data-parallel ones, which stands before everything.
pub fn name_of(key: &str) -> String {
    let key = key.trim_start_matches("module.");
    match WRAPPERS.iter().any(|wrapper| key.contains(wrapper)) {
        false => key.to_owned(),
        true => {
            let bare = |name: String, wrapper: &&str| name.replace(*wrapper, "");
            let name = WRAPPERS.iter().fold(key.to_owned(), bare);
            name.trim_start_matches("module.").to_owned()
        }
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} {:?}", self.key, self.dtype.name(), self.shape)
    }
}

/// Values as float32, and what that cost. From float16 and bfloat16 every value is exact.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Floats {
    pub values: Vec<f32>,
    /// Values of a float64 tensor that no float32 equals; relative error at most 2⁻²⁴ in the normal range.
    pub rounded: usize,
    /// Finite float64 values that are infinite as float32: beyond 3.4e38.
    pub overflowed: usize,
    /// NaN and infinite values, the overflowed among them.
    pub not_finite: usize,
}

impl Tensor {
    /// The tensor under its key.
    pub fn new(key: &str, shape: Vec<usize>, dtype: Dtype, bytes: Vec<u8>) -> Result<Self> {
        super::checked_key(key)?;
        let count = shape
            .iter()
            .try_fold(dtype.size(), |n, &d| n.checked_mul(d));
        if count != Some(bytes.len()) {
            let found = bytes.len();
            let what = format!("tensor `{key}` of shape {shape:?} has {found} bytes");
            return Err(fault(what));
        }
        Ok(Self {
            name: name_of(key),
            key: key.to_owned(),
            shape,
            dtype,
            bytes,
        })
    }

    /// `None` unless the values are floating-point numbers.
    pub fn floats(&self) -> Option<Floats> {
        let mut floats = Floats::default();
        floats.values = match self.dtype {
            Dtype::Float32 => chunks(&self.bytes).map(f32::from_le_bytes).collect(),
            Dtype::Float16 => chunks(&self.bytes)
                .map(|b| half::f16::from_le_bytes(b).to_f32())
                .collect(),
            Dtype::BFloat16 => chunks(&self.bytes)
                .map(|b| half::bf16::from_le_bytes(b).to_f32())
                .collect(),
            Dtype::Float64 => {
                let values = chunks(&self.bytes).map(f64::from_le_bytes);
                values.map(|value| narrow(value, &mut floats)).collect()
            }
            _ => return None,
        };
        floats.not_finite = floats.values.iter().filter(|v| !v.is_finite()).count();
        Some(floats)
    }

    /// The value of an integer scalar.
    pub fn integer(&self) -> Option<i64> {
        match (self.dtype, self.shape.as_slice()) {
            (Dtype::Int64, [] | [1]) => chunks(&self.bytes).map(i64::from_le_bytes).next(),
            (Dtype::Int32, [] | [1]) => chunks(&self.bytes)
                .map(|b| i64::from(i32::from_le_bytes(b)))
                .next(),
            _ => None,
        }
    }
}

/// The nearest float32, counted where it is another number.
fn narrow(value: f64, floats: &mut Floats) -> f32 {
    let narrow = value as f32;
    if value.is_finite() {
        floats.overflowed += usize::from(narrow.is_infinite());
        floats.rounded += usize::from(narrow.is_finite() && f64::from(narrow) != value);
    }
    narrow
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(dtype: Dtype, bytes: Vec<u8>) -> Tensor {
        let shape = vec![bytes.len() / dtype.size()];
        Tensor::new("module.a", shape, dtype, bytes).unwrap()
    }

    #[test]
    fn sixteen_bits_are_exact() {
        let bytes = half::f16::from_f32(0.1).to_le_bytes().repeat(2);
        let floats = tensor(Dtype::Float16, bytes).floats().unwrap();
        assert_eq!(floats.values, [0.099_975_586; 2]);
        let bytes = half::bf16::from_f32(0.1).to_le_bytes().to_vec();
        let floats = tensor(Dtype::BFloat16, bytes).floats().unwrap();
        assert_eq!(floats.values, [0.100_097_656]);
        assert_eq!((floats.rounded, floats.not_finite), (0, 0));
    }

    #[test]
    fn what_float32_cannot_hold_is_counted() {
        let values = [0.5f64, 0.1, 1e300, -1e300, f64::NAN, f64::INFINITY, 1e-60];
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let floats = tensor(Dtype::Float64, bytes).floats().unwrap();
        assert_eq!(floats.rounded, 2, "0.1 and 1e-60");
        assert_eq!((floats.overflowed, floats.not_finite), (2, 4));
    }

    #[test]
    fn integers_are_no_floats() {
        let scalar = Tensor::new("n", vec![], Dtype::Int64, 7i64.to_le_bytes().to_vec()).unwrap();
        assert_eq!((scalar.integer(), scalar.floats()), (Some(7), None));
        assert_eq!(tensor(Dtype::Float32, vec![0; 4]).integer(), None);
        assert_eq!(tensor(Dtype::Float32, vec![0; 4]).name, "a");
    }

    #[test]
    fn wrappers_of_pytorch_are_seen_through() {
        for (key, name) in [
            ("conv1.weight", "conv1.weight"),
            ("module.module.conv1.weight", "conv1.weight"),
            ("_orig_mod.conv1.weight", "conv1.weight"),
            ("module._orig_mod.conv1.weight", "conv1.weight"),
            ("_orig_mod.module.conv1.weight", "conv1.weight"),
            (
                "model._orig_mod.layer1._orig_mod.0.bias",
                "model.layer1.0.bias",
            ),
            ("_fsdp_wrapped_module.a._checkpoint_wrapped_module.b", "a.b"),
            ("a.module.b", "a.module.b"),
        ] {
            assert_eq!(name_of(key), name);
        }
    }

    #[test]
    fn bytes_are_as_many_as_the_shape_says() {
        for shape in [vec![2, 2], vec![usize::MAX, 8], vec![]] {
            let error = Tensor::new("a", shape, Dtype::Float32, vec![0; 8]).unwrap_err();
            assert!(error.message.contains("has 8 bytes"), "{error}");
        }
    }
}
