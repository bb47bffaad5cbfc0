//! The functions and classes that a pickle names.

use std::fmt;

use super::super::{Dtype, Error, Result, fault, printable};

/// A class or function as a pickle names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'a> {
    pub module: &'a str,
    pub name: &'a str,
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}.{}`", printable(self.module), printable(self.name))
    }
}

/// What becomes of a global.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Global<'a> {
    OrderedDict,
    /// A tensor as a view of a storage.
    Tensor,
    /// A tensor that is trained: the tensor itself.
    Parameter,
    /// A shape: the tuple itself.
    Size,
    /// The class of a storage.
    Storage(Dtype),
    /// A tensor of a class of its own: the call of another global that is its first argument.
    Subclass,
    /// An object of the class that is its first argument.
    Object,
    /// A numpy array, of which the state that follows says everything.
    Array,
    /// The type of a numpy array's values.
    ArrayType,
    /// Part of something beside the weights: its name is all that is kept.
    Opaque(&'static str),
    /// Of which nothing is known.
    Unknown(Name<'a>),
}

/// Module and name of what a checkpoint is made of.
const KNOWN: &[(&str, &[&str], Global<'static>)] = &[
    ("collections", &["OrderedDict"], Global::OrderedDict),
    (
        "torch._utils",
        &["_rebuild_tensor", "_rebuild_tensor_v2"],
        Global::Tensor,
    ),
    (
        "torch._utils",
        &["_rebuild_parameter", "_rebuild_parameter_with_state"],
        Global::Parameter,
    ),
    (
        "torch._tensor",
        &["_rebuild_from_type_v2"],
        Global::Subclass,
    ),
    ("copy_reg", OBJECTS, Global::Object),
    ("copyreg", OBJECTS, Global::Object),
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
        &["scalar"],
        Global::Opaque("a numpy value"),
    ),
    (
        "numpy._core.multiarray",
        &["scalar"],
        Global::Opaque("a numpy value"),
    ),
    ("numpy.core.multiarray", &["_reconstruct"], Global::Array),
    ("numpy._core.multiarray", &["_reconstruct"], Global::Array),
    ("numpy", &["dtype"], Global::ArrayType),
    ("numpy", &["ndarray"], Global::Opaque("a numpy type")),
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

/// What Python calls to make objects of a class without its constructor.
const OBJECTS: &[&str] = &["_reconstructor", "__newobj__", "__newobj_ex__"];

/// Modules of Python that start programs or run code, and of its built-in functions those that do. Nothing is executed
/// here whatever a file names; but PyTorch would execute it, so the person must hear of it.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("os", &[]),
    ("posix", &[]),
    ("nt", &[]),
    ("pty", &[]),
    ("subprocess", &[]),
    ("_posixsubprocess", &[]),
    ("commands", &[]),
    ("popen2", &[]),
    ("runpy", &[]),
    ("importlib", &[]),
    ("imp", &[]),
    ("ctypes", &[]),
    ("shutil", &[]),
    ("socket", &[]),
    ("webbrowser", &[]),
    ("code", &[]),
    ("pdb", &[]),
    ("bdb", &[]),
    ("timeit", &[]),
    ("profile", &[]),
    ("cProfile", &[]),
    ("marshal", &[]),
    ("builtins", RUNNING),
    ("__builtin__", RUNNING),
];

const RUNNING: &[&str] = &[
    "eval",
    "exec",
    "execfile",
    "compile",
    "open",
    "input",
    "breakpoint",
    "__import__",
];

impl<'a> Global<'a> {
    /// The global of that name, unless it is one that runs programs.
    pub fn find(module: &'a str, name: &'a str) -> Result<Self> {
        let root = module.split('.').next().unwrap_or(module);
        let first = name.split('.').next().unwrap_or(name);
        let runs = PROGRAMS
            .iter()
            .any(|(m, names)| *m == root && (names.is_empty() || names.contains(&first)));
        if runs {
            return Err(refused(&Name { module, name }.to_string()));
        }
        let known = KNOWN
            .iter()
            .find(|(m, names, _)| *m == module && names.contains(&name));
        Ok(known.map_or(Self::Unknown(Name { module, name }), |(.., global)| *global))
    }
}

impl fmt::Display for Global<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Global::OrderedDict => "an OrderedDict",
            Global::Tensor | Global::Subclass => "a tensor",
            Global::Parameter => "a parameter",
            Global::Size => "a shape",
            Global::Storage(_) => "a class of storages",
            Global::Object => "an object",
            Global::Array => "a numpy array",
            Global::ArrayType => "a numpy type",
            Global::Opaque(name) => name,
            Global::Unknown(name) => return name.fmt(f),
        })
    }
}

/// A file that wants something executed.
pub fn refused(what: &str) -> Error {
    fault(format!("it asks for {what}, which no checkpoint of tensors needs; nothing was executed")).hint(
        "either the file is hostile, or it holds a whole model or objects of the program that wrote it: there, torch.save the model's state_dict() alone",
    )
}
