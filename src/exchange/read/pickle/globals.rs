//! The list of functions and classes that a pickle may name.

use super::super::{Dtype, Error, Result, fault, printable};

/// What becomes of a global that is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Global {
    OrderedDict,
    /// A tensor as a view of a storage.
    Tensor,
    /// A tensor that is trained: the tensor itself.
    Parameter,
    /// A shape: the tuple itself.
    Size,
    /// The class of a storage.
    Storage(Dtype),
    /// Part of something beside the weights: its name is all that is kept.
    Opaque(&'static str),
}

/// Module and name of everything that is allowed.
const ALLOWED: &[(&str, &[&str], Global)] = &[
    ("collections", &["OrderedDict"], Global::OrderedDict),
    (
        "torch._utils",
        &["_rebuild_tensor", "_rebuild_tensor_v2"],
        Global::Tensor,
    ),
    ("torch._utils", &["_rebuild_parameter"], Global::Parameter),
    ("torch", &["Size"], Global::Size),
    ("torch", &["DoubleStorage"], Global::Storage(Dtype::Float64)),
    ("torch", &["FloatStorage"], Global::Storage(Dtype::Float32)),
    ("torch", &["HalfStorage"], Global::Storage(Dtype::Float16)),
    (
        "torch",
        &["BFloat16Storage"],
        Global::Storage(Dtype::BFloat16),
    ),
    ("torch", &["LongStorage"], Global::Storage(Dtype::Int64)),
    ("torch", &["IntStorage"], Global::Storage(Dtype::Int32)),
    ("torch", &["ShortStorage"], Global::Storage(Dtype::Int16)),
    ("torch", &["CharStorage"], Global::Storage(Dtype::Int8)),
    ("torch", &["ByteStorage"], Global::Storage(Dtype::UInt8)),
    ("torch", &["BoolStorage"], Global::Storage(Dtype::Bool)),
    ("torch", &["device"], Global::Opaque("torch.device")),
    (
        "torch",
        &[
            "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8",
            "uint8", "bool",
        ],
        Global::Opaque("torch.dtype"),
    ),
    // Arguments of the program that trained, its best accuracy, the state of its schedule.
    (
        "argparse",
        &["Namespace"],
        Global::Opaque("argparse.Namespace"),
    ),
    (
        "collections",
        &["defaultdict", "Counter"],
        Global::Opaque("a dictionary"),
    ),
    (
        "numpy.core.multiarray",
        &["scalar", "_reconstruct"],
        Global::Opaque("a numpy value"),
    ),
    (
        "numpy._core.multiarray",
        &["scalar", "_reconstruct"],
        Global::Opaque("a numpy value"),
    ),
    (
        "numpy",
        &["dtype", "ndarray"],
        Global::Opaque("a numpy type"),
    ),
    ("_codecs", &["encode"], Global::Opaque("bytes")),
    ("__builtin__", BUILTINS, Global::Opaque("a built-in value")),
    ("builtins", BUILTINS, Global::Opaque("a built-in value")),
];

/// Types, none of which does anything when it is called.
const BUILTINS: &[&str] = &[
    "set",
    "frozenset",
    "list",
    "dict",
    "tuple",
    "int",
    "float",
    "bool",
    "str",
    "complex",
    "bytearray",
    "slice",
    "range",
];

impl Global {
    /// The global, if it is on the list.
    pub fn find(module: &str, name: &str) -> Result<Self> {
        let found = ALLOWED
            .iter()
            .find(|(m, names, _)| *m == module && names.contains(&name));
        found.map(|(.., global)| *global).ok_or_else(|| {
            let (module, name) = (printable(module), printable(name));
            refused(&format!("`{module}.{name}`"))
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Global::OrderedDict => "an OrderedDict",
            Global::Tensor => "a tensor",
            Global::Parameter => "a parameter",
            Global::Size => "a shape",
            Global::Storage(_) => "a class of storages",
            Global::Opaque(name) => name,
        }
    }
}

/// A file that wants something executed.
pub fn refused(what: &str) -> Error {
    fault(format!("it asks for {what}, which no checkpoint of tensors needs; nothing was executed")).hint(
        "either the file is hostile, or it holds a whole model or objects of the program that wrote it: there, torch.save the model's state_dict() alone",
    )
}
