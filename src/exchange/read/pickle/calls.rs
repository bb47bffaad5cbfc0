//! Calls that a pickle makes: what they would give, put together without calling anything.

use super::super::strided::View;
use super::super::{Dtype, MAX_DIMENSIONS, Result, fault};
use super::object::{Array, Id};
use super::{Global, Machine, Object, Storage, globals};

impl<'a> Machine<'a> {
    pub(super) fn global(&self, id: Id) -> Result<Global<'a>> {
        match self.pickle.get(id) {
            Object::Global(global) => Ok(*global),
            other => Err(fault(format!("{} cannot be called", other.describe()))),
        }
    }

    pub(super) fn apply(&mut self, callable: Id, arguments: Id) -> Result<()> {
        let global = self.global(callable)?;
        let Object::Tuple(arguments) = self.pickle.get(arguments) else {
            return Err(fault("arguments that are no tuple"));
        };
        let arguments = arguments.clone();
        self.spend(arguments.len())?;
        self.call(global, &arguments)
    }

    /// What a call of a global would give, as far as it is known here.
    pub(super) fn call(&mut self, global: Global<'a>, arguments: &[Id]) -> Result<()> {
        match (global, arguments) {
            (Global::OrderedDict, []) => self.push(Object::Dict(Vec::new())),
            (Global::OrderedDict, [pairs]) => {
                let pairs = self.pairs(*pairs)?;
                self.push(Object::Dict(pairs))
            }
            (Global::Tensor, [storage, offset, shape, strides, ..]) => {
                self.tensor(*storage, [*offset, *shape, *strides])
            }
            (Global::Subclass, [function, _class, arguments, ..]) => {
                match self.global(*function)? {
                    Global::Subclass => Err(fault("a tensor of a class inside another")),
                    _ => self.apply(*function, *arguments),
                }
            }
            (Global::Parameter, [it, ..]) | (Global::Size, [it]) => {
                self.stack.push(*it);
                Ok(())
            }
            (Global::Object, [class, ..]) => match self.global(*class)? {
                Global::Unknown(name) => self.push(Object::Instance(name)),
                Global::OrderedDict => self.push(Object::Dict(Vec::new())),
                Global::Opaque(name) => self.push(Object::Opaque(name)),
                other => Err(fault(format!("an object of {other}"))),
            },
            (Global::Array, _) => self.push(Object::EmptyArray),
            (Global::ArrayType, [name, ..]) => {
                let object = match self.pickle.text(*name) {
                    Some(name) => Object::ArrayType(name, false),
                    None => Object::Opaque("a numpy type"),
                };
                self.push(object)
            }
            (Global::Opaque(name), _) => self.push(Object::Opaque(name)),
            (Global::Unknown(name), _) => self.push(Object::Instance(name)),
            _ => Err(fault(format!(
                "{global} cannot be made of {} arguments",
                arguments.len()
            ))),
        }
    }

    /// A view of a storage. One of values that are not known here is an object of their class.
    fn tensor(&mut self, storage: Id, view: [Id; 3]) -> Result<()> {
        let view = self.view(view)?;
        let object = match self.pickle.get(storage) {
            Object::Storage(storage) => Object::Tensor(*storage, Box::new(view)),
            Object::Instance(class) => Object::Instance(*class),
            other => {
                let what = other.describe();
                return Err(fault(format!("a tensor on {what}, expected a storage")));
            }
        };
        self.push(object)
    }

    /// The list of pairs that Python 2 makes an OrderedDict of.
    fn pairs(&mut self, list: Id) -> Result<Vec<(Id, Id)>> {
        let wrong = || fault("an OrderedDict of something that is no list of pairs");
        let Object::List(items) = self.pickle.get(list) else {
            return Err(wrong());
        };
        let items = items.clone();
        self.spend(items.len())?;
        let pair = |id: &Id| match self.pickle.get(*id) {
            Object::Tuple(pair) | Object::List(pair) => match pair.as_slice() {
                [key, value] => Ok((*key, *value)),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        };
        items.iter().map(pair).collect()
    }

    fn view(&mut self, [offset, shape, strides]: [Id; 3]) -> Result<View> {
        let sizes = |id| match self.pickle.get(id) {
            Object::Tuple(items) if items.len() <= MAX_DIMENSIONS => {
                items.iter().map(|&item| self.pickle.size(item)).collect()
            }
            other => Err(fault(format!(
                "the shape of a tensor is {}, expected at most {MAX_DIMENSIONS} numbers",
                other.describe()
            ))),
        };
        let (shape, strides): (Vec<usize>, Vec<usize>) = (sizes(shape)?, sizes(strides)?);
        if shape.len() != strides.len() {
            let what = format!("a tensor of shape {shape:?} has strides {strides:?}");
            return Err(fault(what));
        }
        let offset = self.pickle.size(offset)?;
        Ok(View {
            offset,
            shape,
            strides,
        })
    }

    /// State for the object below it: of a numpy array its shape, type and values, of its type the order of bytes. That of others
    /// is not looked into.
    pub(super) fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let top = self.top()?;
        let object = match self.pickle.get(top) {
            Object::EmptyArray => self.array(state)?,
            Object::ArrayType(name, _) => Object::ArrayType(name, self.is_big_endian(state)),
            _ => return Ok(()),
        };
        if let Some(to) = self.pickle.objects.get_mut(top) {
            *to = object;
        }
        Ok(())
    }

    /// `(version, order, …)`, where the order is `<`, `>` or, of single bytes, `|`.
    fn is_big_endian(&self, state: Id) -> bool {
        let Object::Tuple(items) = self.pickle.get(state) else {
            return false;
        };
        items.get(1).and_then(|&order| self.pickle.text(order)) == Some(">")
    }

    /// `(version, shape, type, whether columns come first, values)`. Arrays of objects, of text, and those whose columns come first are
    /// not read.
    fn array(&self, state: Id) -> Result<Object<'a>> {
        let Object::Tuple(items) = self.pickle.get(state) else {
            return Ok(Object::Opaque("a numpy array"));
        };
        let [_, shape, dtype, by_columns, values] = items[..] else {
            return Ok(Object::Opaque("a numpy array"));
        };
        let Object::Tuple(sizes) = self.pickle.get(shape) else {
            return Err(fault("the shape of a numpy array is no tuple"));
        };
        if sizes.len() > MAX_DIMENSIONS {
            let count = sizes.len();
            return Err(fault(format!("a numpy array of {count} dimensions")));
        }
        let shape = sizes.iter().map(|&size| self.pickle.size(size));
        let shape: Vec<usize> = shape.collect::<Result<_>>()?;
        let by_rows = matches!(
            self.pickle.get(by_columns),
            Object::Bool(false) | Object::Int(0)
        );
        let bytes = match self.pickle.get(values) {
            Object::Bytes(bytes) => *bytes,
            Object::Text(text) => text.as_bytes(),
            _ => return Ok(Object::Opaque("a numpy array")),
        };
        let Object::ArrayType(name, big_endian) = *self.pickle.get(dtype) else {
            return Ok(Object::Opaque("a numpy array"));
        };
        let dtype = Dtype::of_numpy(name).filter(|_| by_rows || shape.len() < 2);
        Ok(match dtype {
            Some(dtype) => Object::Array(Array {
                shape,
                dtype,
                big_endian,
                bytes,
            }),
            None => Object::Opaque("a numpy array"),
        })
    }

    /// A persistent id: `("storage", class, key, location, count)` and, in the legacy format, `None`.
    pub(super) fn storage(&self, id: Id) -> Result<Object<'a>> {
        let Object::Tuple(items) = self.pickle.get(id) else {
            return Err(fault("a persistent id that is no tuple"));
        };
        let kind = items.first().and_then(|&kind| self.pickle.text(kind));
        match (kind, items.as_slice()) {
            (Some("storage"), [_, class, key, _location, count, rest @ ..]) => {
                if rest.iter().any(|&id| *self.pickle.get(id) != Object::None) {
                    let what = "a storage that is a part of another, as PyTorch wrote before 0.4";
                    return Err(
                        fault(what).hint("torch.load and torch.save make a file without them")
                    );
                }
                let dtype = match self.global(*class)? {
                    Global::Storage(dtype) => dtype,
                    Global::Unknown(class) => return Ok(Object::Instance(class)),
                    _ => return Err(fault("a storage of a class that is none")),
                };
                if self.pickle.text(*key).is_none() {
                    return Err(fault("the key of a storage is not text"));
                }
                let count = self.pickle.size(*count)?;
                Ok(Object::Storage(Storage {
                    dtype,
                    key: *key,
                    count,
                }))
            }
            (Some("module"), _) => Err(globals::refused("the source code of a module")),
            _ => Err(fault("an unknown persistent id, expected a storage")),
        }
    }
}
