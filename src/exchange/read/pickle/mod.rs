//! An unpickler that builds values and executes nothing.
//!
//! A pickle is a program for a stack machine. Python's runs it, so that whoever wrote the file decides what is called.
//! This one knows the values that a checkpoint is made of, by the list in `globals`: "calling" one of these puts a value
//! together. Every other function or class gives an [`Object::Instance`], of which the name is all that is known, and
//! what runs programs is refused.
//!
//! Protocols 0 to 5, but for out-of-band buffers and the extension registry. Values live in one arena and refer to
//! each other by number: sharing and cycles cost nothing, and nothing here is recursive. Memory is bounded by
//! `MAX_BYTES` and `MAX_OBJECTS`.

mod calls;
mod globals;
mod input;
mod object;

use std::collections::HashMap;

pub use globals::Global;
pub use object::{Id, Object, Pickle, Storage};

use self::input::Input;
use super::{Error, Result, fault};
use crate::base::limits;

pub const MAX_BYTES: usize = limits::WEIGHTS_PICKLE.most as usize;
const MAX_OBJECTS: usize = limits::PICKLE_OBJECTS.most as usize;

/// The first pickle in `bytes`, and where it ends.
pub fn load(bytes: &[u8]) -> Result<(Pickle<'_>, usize)> {
    let mut machine = Machine {
        input: Input::new(bytes.get(..MAX_BYTES).unwrap_or(bytes)),
        pickle: Pickle::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        spent: 0,
    };
    let ran = machine.run();
    let end = machine.input.position();
    match ran {
        Ok(()) => Ok((machine.pickle, end)),
        Err(error) => {
            let message = format!("pickle, byte {end}: {}", error.message);
            Err(Error { message, ..error })
        }
    }
}

struct Machine<'a> {
    input: Input<'a>,
    pickle: Pickle<'a>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
    /// Objects that were made, and elements that were copied from one into another.
    spent: usize,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<()> {
        while let Some(op) = self.input.operation()? {
            self.step(op)?;
            // What is put there again and again is no new object.
            if self.stack.len() + self.marks.len() > MAX_OBJECTS {
                return Err(fault(format!(
                    "more than {MAX_OBJECTS} objects on its stack"
                )));
            }
        }
        self.pickle.root = self.pop()?;
        Ok(())
    }

    fn step(&mut self, op: u8) -> Result<()> {
        let known = self.scalar(op)? || self.container(op)? || self.fill(op)?;
        match known || self.memory(op)? || self.name(op)? || self.instance(op)? {
            true => Ok(()),
            false => Err(fault(format!("unknown operation 0x{op:02x}"))),
        }
    }

    /// Numbers and texts.
    fn scalar(&mut self, op: u8) -> Result<bool> {
        let input = &mut self.input;
        let object = match op {
            b'N' => Object::None,
            0x88 => Object::Bool(true),
            0x89 => Object::Bool(false),
            b'I' => integer_line(input.line()?)?,
            b'L' => integer_line(input.line()?.trim_end_matches('L'))?,
            b'J' => Object::Int(i64::from(i32::from_le_bytes(input.array()?))),
            b'K' => Object::Int(input.size(1)? as i64),
            b'M' => Object::Int(input.size(2)? as i64),
            0x8a => long(input.sized(1)?),
            0x8b => long(input.sized(4)?),
            b'F' => float_line(input.line()?)?,
            b'G' => Object::Float(f64::from_be_bytes(input.array()?)),
            // Escapes stay as they are written: no key that matters has one.
            b'S' => text_or_bytes(unquoted(input.line_bytes()?)),
            b'V' => text_or_bytes(input.line_bytes()?),
            b'U' => text_or_bytes(input.sized(1)?),
            b'T' => text_or_bytes(input.sized(4)?),
            0x8c => text_or_bytes(input.sized(1)?),
            b'X' => text_or_bytes(input.sized(4)?),
            0x8d => text_or_bytes(input.sized(8)?),
            b'C' => Object::Bytes(input.sized(1)?),
            b'B' => Object::Bytes(input.sized(4)?),
            0x8e | 0x96 => Object::Bytes(input.sized(8)?),
            _ => return Ok(false),
        };
        self.push(object)?;
        Ok(true)
    }

    /// Tuples, lists, dictionaries and sets.
    fn container(&mut self, op: u8) -> Result<bool> {
        match op {
            b')' => self.push(Object::Tuple(Vec::new()))?,
            b']' => self.push(Object::List(Vec::new()))?,
            b'}' => self.push(Object::Dict(Vec::new()))?,
            0x8f => self.push(Object::Opaque("set"))?,
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Object::Tuple(items))?;
            }
            b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Object::List(items))?;
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                self.push(Object::Dict(Vec::new()))?;
                self.set_items(items)?;
            }
            0x91 => {
                self.pop_to_mark()?;
                self.push(Object::Opaque("frozenset"))?;
            }
            0x85..=0x87 => {
                let count = usize::from(op - 0x84);
                let items = self.pop_many(count)?;
                self.push(Object::Tuple(items))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What is put into the container on top.
    fn fill(&mut self, op: u8) -> Result<bool> {
        match op {
            b'a' => {
                let items = self.pop_many(1)?;
                self.append(items)?;
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.set_items(items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(items)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Stack, memo, and what only frames the program.
    fn memory(&mut self, op: u8) -> Result<bool> {
        match op {
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'p' => {
                let key = memo_key(self.input.line()?)?;
                self.remember(key)?;
            }
            b'q' => {
                let key = self.input.size(1)?;
                self.remember(key)?;
            }
            b'r' => {
                let key = self.input.size(4)?;
                self.remember(key)?;
            }
            0x94 => self.remember(self.memo.len())?,
            b'g' => {
                let key = memo_key(self.input.line()?)?;
                self.recall(key)?;
            }
            b'h' => {
                let key = self.input.size(1)?;
                self.recall(key)?;
            }
            b'j' => {
                let key = self.input.size(4)?;
                self.recall(key)?;
            }
            0x80 => match self.input.size(1)? {
                0..=5 => {}
                n => return Err(fault(format!("protocol {n}, expected 0 to 5"))),
            },
            0x95 => drop(self.input.take(8)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Names of classes, functions and storages.
    fn name(&mut self, op: u8) -> Result<bool> {
        match op {
            b'c' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                self.push(Object::Global(Global::find(module, name)?))?;
            }
            0x93 => {
                let [module, name] = self.pop_array()?;
                let global = match (self.pickle.text(module), self.pickle.text(name)) {
                    (Some(module), Some(name)) => Global::find(module, name)?,
                    _ => return Err(fault("the name of a global is not text")),
                };
                self.push(Object::Global(global))?;
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(storage)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Calls of what was named, and states of what the calls gave.
    fn instance(&mut self, op: u8) -> Result<bool> {
        match op {
            b'i' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                let global = Global::find(module, name)?;
                let arguments = self.pop_to_mark()?;
                self.call(global, &arguments)?;
            }
            b'o' => {
                let items = self.pop_to_mark()?;
                let (class, arguments) = items
                    .split_first()
                    .ok_or_else(|| fault("an object without its class"))?;
                self.call(self.global(*class)?, arguments)?;
            }
            b'R' | 0x81 => {
                let [callable, arguments] = self.pop_array()?;
                self.apply(callable, arguments)?;
            }
            0x92 => {
                let [class, arguments, _named] = self.pop_array()?;
                self.apply(class, arguments)?;
            }
            b'b' => self.build()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn push(&mut self, object: Object<'a>) -> Result<()> {
        self.spend(1)?;
        self.stack.push(self.pickle.objects.len());
        self.pickle.objects.push(object);
        Ok(())
    }

    fn spend(&mut self, count: usize) -> Result<()> {
        self.spent += count;
        match self.spent > MAX_OBJECTS {
            true => Err(fault(format!("more than {MAX_OBJECTS} objects"))),
            false => Ok(()),
        }
    }

    /// The lowest place of the stack that may be popped.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id> {
        let above = self.stack.get(self.floor()..).unwrap_or_default();
        above.last().copied().ok_or_else(empty)
    }

    fn pop(&mut self) -> Result<Id> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>> {
        let from = self.stack.len().checked_sub(count);
        let from = from
            .filter(|&from| from >= self.floor())
            .ok_or_else(empty)?;
        Ok(self.stack.split_off(from))
    }

    fn pop_array<const N: usize>(&mut self) -> Result<[Id; N]> {
        self.pop_many(N)?.try_into().map_err(|_| empty())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| fault("no open mark"))?;
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, key: usize) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(key, top);
        match self.memo.len() > MAX_OBJECTS {
            true => Err(fault(format!(
                "more than {MAX_OBJECTS} entries in its memo"
            ))),
            false => Ok(()),
        }
    }

    fn recall(&mut self, key: usize) -> Result<()> {
        let id = self.memo.get(&key);
        self.stack
            .push(*id.ok_or_else(|| fault(format!("nothing was put under {key}")))?);
        Ok(())
    }

    /// Puts items at the end of the list on top.
    fn append(&mut self, mut items: Vec<Id>) -> Result<()> {
        let top = self.top()?;
        match self.pickle.objects.get_mut(top) {
            Some(Object::List(list)) => list.append(&mut items),
            Some(Object::Opaque(_) | Object::Instance(_)) => {}
            _ => return Err(fault("items for something that is no list")),
        }
        Ok(())
    }

    /// Puts keys and values, which alternate, into the dictionary on top. A key that comes twice stays there twice.
    fn set_items(&mut self, items: Vec<Id>) -> Result<()> {
        let top = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(fault("a key without a value"));
        }
        let pairs = pairs.iter().map(|&[k, v]| (k, v));
        match self.pickle.objects.get_mut(top) {
            Some(Object::Dict(dict)) => dict.extend(pairs),
            // Whatever its class: what has entries is a dictionary.
            Some(object @ (Object::Opaque(_) | Object::Instance(_))) => {
                *object = Object::Dict(pairs.collect());
            }
            _ => return Err(fault("entries for something that is no dictionary")),
        }
        Ok(())
    }
}

fn empty() -> Error {
    fault("the stack is empty")
}

fn memo_key(line: &str) -> Result<usize> {
    line.parse()
        .map_err(|_| fault("a memo key that is no number"))
}

fn integer_line<'a>(line: &str) -> Result<Object<'a>> {
    match line {
        "00" => Ok(Object::Bool(false)),
        "01" => Ok(Object::Bool(true)),
        _ => line
            .parse()
            .map(Object::Int)
            .map_err(|_| fault("a whole number that is none, or beyond 64 bits")),
    }
}

fn float_line<'a>(line: &str) -> Result<Object<'a>> {
    let value = line.parse().map(Object::Float);
    value.map_err(|_| fault("a number that is none"))
}

/// Little-endian two's complement of any length.
fn long(bytes: &[u8]) -> Object<'_> {
    let sign = bytes.last().is_some_and(|b| b & 0x80 != 0);
    let mut value = [if sign { 0xff } else { 0 }; 8];
    match value.get_mut(..bytes.len()) {
        Some(low) => {
            low.copy_from_slice(bytes);
            Object::Int(i64::from_le_bytes(value))
        }
        None => Object::Long(bytes),
    }
}

/// Python 2 did not tell them apart, and Python 3 writes file names that are no text as if they were.
fn text_or_bytes(bytes: &[u8]) -> Object<'_> {
    std::str::from_utf8(bytes).map_or(Object::Bytes(bytes), Object::Text)
}

fn unquoted(line: &[u8]) -> &[u8] {
    match line {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => line,
    }
}
