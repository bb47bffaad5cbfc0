//! Python values → pickle, protocol 2: as much of it as PyTorch's checkpoints need, without a memo.

use std::borrow::Cow;

/// A Python value.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    Bool(bool),
    Int(i64),
    Text(Cow<'a, str>),
    Tuple(Vec<Value<'a>>),
    Dict(Vec<(Value<'a>, Value<'a>)>),
    /// `collections.OrderedDict`
    OrderedDict(Vec<(Value<'a>, Value<'a>)>),
    /// A class or function: module and name.
    Global(&'static str, &'static str),
    /// What a function gives for arguments.
    Call(Box<Value<'a>>, Vec<Value<'a>>),
    /// What the reader finds under an identifier: PyTorch's storages.
    Persistent(Box<Value<'a>>),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl From<usize> for Value<'_> {
    fn from(value: usize) -> Self {
        // No size in memory reaches 2^63.
        Value::Int(value as i64)
    }
}

const PROTOCOL: u8 = 0x80;
const STOP: u8 = b'.';
const MARK: u8 = b'(';
const TRUE: u8 = 0x88;
const FALSE: u8 = 0x89;
const INT32: u8 = b'J';
const LONG: u8 = 0x8a;
const TEXT: u8 = b'X';
const TUPLE: u8 = b't';
const EMPTY_DICT: u8 = b'}';
const EMPTY_TUPLE: u8 = b')';
const SET_ITEMS: u8 = b'u';
const GLOBAL: u8 = b'c';
const REDUCE: u8 = b'R';
const PERSISTENT: u8 = b'Q';

/// The pickle of a value.
pub fn encode(value: &Value<'_>) -> Vec<u8> {
    let mut out = vec![PROTOCOL, 2];
    put(&mut out, value);
    out.push(STOP);
    out
}

fn put(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Bool(value) => out.push(if *value { TRUE } else { FALSE }),
        Value::Int(value) => put_int(out, *value),
        Value::Text(text) => {
            out.push(TEXT);
            out.extend((text.len() as u32).to_le_bytes());
            out.extend(text.as_bytes());
        }
        Value::Tuple(values) => put_tuple(out, values),
        Value::Dict(items) => {
            out.push(EMPTY_DICT);
            put_items(out, items);
        }
        Value::OrderedDict(items) => {
            put_global(out, "collections", "OrderedDict");
            out.extend([EMPTY_TUPLE, REDUCE]);
            put_items(out, items);
        }
        Value::Global(module, name) => put_global(out, module, name),
        Value::Call(function, arguments) => {
            put(out, function);
            put_tuple(out, arguments);
            out.push(REDUCE);
        }
        Value::Persistent(identifier) => {
            put(out, identifier);
            out.push(PERSISTENT);
        }
    }
}

fn put_int(out: &mut Vec<u8>, value: i64) {
    match i32::try_from(value) {
        Ok(value) => {
            out.push(INT32);
            out.extend(value.to_le_bytes());
        }
        Err(_) => {
            out.extend([LONG, 8]);
            out.extend(value.to_le_bytes());
        }
    }
}

fn put_tuple(out: &mut Vec<u8>, values: &[Value<'_>]) {
    out.push(MARK);
    values.iter().for_each(|value| put(out, value));
    out.push(TUPLE);
}

fn put_items(out: &mut Vec<u8>, items: &[(Value<'_>, Value<'_>)]) {
    out.push(MARK);
    for (key, value) in items {
        put(out, key);
        put(out, value);
    }
    out.push(SET_ITEMS);
}

fn put_global(out: &mut Vec<u8>, module: &str, name: &str) {
    out.push(GLOBAL);
    out.extend(format!("{module}\n{name}\n").bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_opcodes_of_protocol_2() {
        let pair = Value::Tuple(vec![Value::Int(-1), Value::Int(1 << 40)]);
        let value = Value::Dict(vec![("k".into(), pair), ("b".into(), Value::Bool(true))]);
        let expected = b"\x80\x02}(X\x01\0\0\0k(J\xff\xff\xff\xff\x8a\x08\0\0\0\0\0\x01\0\0tX\x01\0\0\0b\x88u.";
        assert_eq!(encode(&value), expected);
    }

    #[test]
    fn calls_stand_behind_their_arguments() {
        let function = Box::new(Value::Global("torch", "Size"));
        let value = Value::Call(function, vec![Value::Persistent(Box::new("0".into()))]);
        assert_eq!(encode(&value), b"\x80\x02ctorch\nSize\n(X\x01\0\0\x000QtR.");
    }
}
