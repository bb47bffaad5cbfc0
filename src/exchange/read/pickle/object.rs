//! What a pickle is made of.

use super::super::strided::View;
use super::super::{Dtype, Result, fault, printable};
use super::globals::{Global, Name};

/// Place of an object in [`Pickle::objects`].
pub type Id = usize;

#[derive(Debug, Clone, PartialEq)]
pub enum Object<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// Beyond 64 bits: little-endian two's complement.
    Long(&'a [u8]),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// In the file's order; a key may be there twice.
    Dict(Vec<(Id, Id)>),
    Global(Global<'a>),
    Storage(Storage),
    Tensor(Storage, Box<View>),
    /// The type of a numpy array's values: `f4` and the like, and whether the highest byte comes first.
    ArrayType(&'a str, bool),
    /// A numpy array before its state.
    EmptyArray,
    Array(Array<'a>),
    /// Of a class that is known to be harmless and is not looked into.
    Opaque(&'static str),
    /// What a class or function of which nothing is known would give. It was not made.
    Instance(Name<'a>),
}

/// A block of values that stands elsewhere in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    pub dtype: Dtype,
    /// A text.
    pub key: Id,
    /// Values that it claims to have.
    pub count: usize,
}

/// A numpy array, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array<'a> {
    pub shape: Vec<usize>,
    pub dtype: Dtype,
    pub big_endian: bool,
    pub bytes: &'a [u8],
}

/// The objects of a pickle; the root is what was pickled.
#[derive(Debug, Default)]
pub struct Pickle<'a> {
    pub objects: Vec<Object<'a>>,
    pub root: Id,
}

impl<'a> Pickle<'a> {
    pub fn get(&self, id: Id) -> &Object<'a> {
        self.objects.get(id).unwrap_or(&Object::None)
    }

    pub fn text(&self, id: Id) -> Option<&'a str> {
        match self.get(id) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number of things.
    pub fn size(&self, id: Id) -> Result<usize> {
        let size = match self.get(id) {
            Object::Int(n) => usize::try_from(*n).ok(),
            _ => None,
        };
        size.ok_or_else(|| {
            let found = self.get(id).describe();
            fault(format!("expected a size, found {found}"))
        })
    }

    /// Keys and values of a dictionary; of anything else none.
    pub fn entries(&self, dict: Id) -> &[(Id, Id)] {
        match self.get(dict) {
            Object::Dict(entries) => entries,
            _ => &[],
        }
    }

    /// The value under a text key of a dictionary.
    pub fn entry(&self, dict: Id, key: &str) -> Option<Id> {
        let mut entries = self.entries(dict).iter();
        let found = entries.find(|(k, _)| self.text(*k) == Some(key));
        found.map(|&(_, value)| value)
    }

    /// A key of a dictionary as it may be printed.
    pub fn name(&self, key: Id) -> String {
        match self.text(key) {
            Some(text) => printable(text),
            None => self.get(key).describe(),
        }
    }
}

impl Object<'_> {
    /// In a person's words, on one line.
    pub fn describe(&self) -> String {
        match self {
            Object::None => "None".to_owned(),
            Object::Bool(value) => value.to_string(),
            Object::Int(value) => value.to_string(),
            Object::Long(bytes) => format!("a whole number of {} bytes", bytes.len()),
            Object::Float(value) => format!("{value:?}"),
            Object::Text(text) => format!("\"{}\"", printable(text)),
            Object::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Object::Tuple(items) => format!("a tuple of {}", items.len()),
            Object::List(items) => format!("a list of {}", items.len()),
            Object::Dict(entries) => format!("a dictionary of {}", entries.len()),
            Object::Global(global) => global.to_string(),
            Object::Storage(storage) => {
                format!("a storage of {} {}", storage.count, storage.dtype.name())
            }
            Object::Tensor(storage, view) => {
                format!("a tensor {:?} of {}", view.shape, storage.dtype.name())
            }
            Object::ArrayType(name, _) => format!("the numpy type {}", printable(name)),
            Object::EmptyArray => "a numpy array without values".to_owned(),
            Object::Array(array) => {
                format!("a numpy array {:?} of {}", array.shape, array.dtype.name())
            }
            Object::Opaque(name) => (*name).to_owned(),
            Object::Instance(name) => format!("an object of {name}"),
        }
    }
}
