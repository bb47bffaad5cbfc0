//! Calls that a pickle makes: what they would give, put together without calling anything.

use super::super::strided::View;
use super::super::{Result, fault};
use super::object::Id;
use super::{Global, Machine, Object, Storage, globals};

/// More dimensions than any tensor of a network has.
const MAX_DIMENSIONS: usize = 8;

impl Machine<'_> {
    pub(super) fn global(&self, id: Id) -> Result<Global> {
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

    /// What a call of an allowed global would give, as far as it is known here.
    pub(super) fn call(&mut self, global: Global, arguments: &[Id]) -> Result<()> {
        match (global, arguments) {
            (Global::OrderedDict, []) => self.push(Object::Dict(Vec::new())),
            (Global::OrderedDict, [pairs]) => {
                let pairs = self.pairs(*pairs)?;
                self.push(Object::Dict(pairs))
            }
            (Global::Tensor, [storage, offset, shape, strides, ..]) => {
                let view = self.view([*offset, *shape, *strides])?;
                let storage = match self.pickle.get(*storage) {
                    Object::Storage(storage) => *storage,
                    other => {
                        let what = other.describe();
                        return Err(fault(format!("a tensor on {what}, expected a storage")));
                    }
                };
                self.push(Object::Tensor(storage, Box::new(view)))
            }
            (Global::Parameter, [data, ..]) => {
                self.stack.push(*data);
                Ok(())
            }
            (Global::Size, [dimensions]) => {
                self.stack.push(*dimensions);
                Ok(())
            }
            (Global::Opaque(name), _) => self.push(Object::Opaque(name)),
            _ => Err(fault(format!(
                "{} cannot be made of {} arguments",
                global.name(),
                arguments.len()
            ))),
        }
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

    /// State for the object below it: no object here has any.
    pub(super) fn build(&mut self) -> Result<()> {
        self.pop()?;
        match self.pickle.get(self.top()?) {
            Object::Dict(_) | Object::Opaque(_) => Ok(()),
            other => Err(fault(format!("a state for {}", other.describe()))),
        }
    }

    /// A persistent id: `("storage", class, key, location, count)` and, in the legacy format, `None`.
    pub(super) fn storage(&self, id: Id) -> Result<Storage> {
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
                let Global::Storage(dtype) = self.global(*class)? else {
                    return Err(fault("a storage of an unknown class"));
                };
                if self.pickle.text(*key).is_none() {
                    return Err(fault("the key of a storage is not text"));
                }
                let count = self.pickle.size(*count)?;
                Ok(Storage {
                    dtype,
                    key: *key,
                    count,
                })
            }
            (Some("module"), _) => Err(globals::refused("the source code of a module")),
            _ => Err(fault("an unknown persistent id, expected a storage")),
        }
    }
}
