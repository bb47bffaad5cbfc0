//! `Decode` for numbers, texts, lists and pairs.

use super::{Decode, Decoder};
use crate::spec::legal::Legal;
use crate::spec::rules::Findings;
use crate::spec::setting::Type;
use crate::spec::syntax::{Body, Kind, Node};

impl Decode for bool {
    fn decode(node: &Node, decoder: &mut Decoder) -> Self {
        match node.kind {
            Kind::Bool(value) => value,
            _ => decoder.mismatch(node, "`true` or `false`"),
        }
    }

    fn placeholder() -> Self {
        false
    }
}

impl Decode for String {
    fn decode(node: &Node, decoder: &mut Decoder) -> Self {
        match &node.kind {
            Kind::Text(text) => text.clone(),
            _ => decoder.mismatch(node, "a text in quotes"),
        }
    }

    fn placeholder() -> Self {
        Self::new()
    }

    fn check(&self, path: &str, legal: Option<&Legal>, findings: &mut Findings) {
        if let Some(Legal::Text(text)) = legal {
            (text.check)(findings, path, self);
        }
    }
}

impl Decode for u64 {
    fn decode(node: &Node, decoder: &mut Decoder) -> Self {
        let Kind::Number(raw) = &node.kind else {
            return decoder.mismatch(node, "a whole number");
        };
        let plain = raw.replace('_', "");
        let (radix, digits) = match plain.get(..2) {
            Some("0x") => (16, &plain[2..]),
            Some("0o") => (8, &plain[2..]),
            Some("0b") => (2, &plain[2..]),
            _ => (10, plain.as_str()),
        };
        match u64::from_str_radix(digits, radix) {
            Ok(value) => value,
            Err(e) if *e.kind() == std::num::IntErrorKind::PosOverflow => {
                decoder.mismatch(node, "a number below 2^64")
            }
            Err(_) => decoder.mismatch(node, "a whole number, 0 or more"),
        }
    }

    fn placeholder() -> Self {
        0
    }
}

impl Decode for usize {
    fn decode(node: &Node, decoder: &mut Decoder) -> Self {
        match usize::try_from(u64::decode(node, decoder)) {
            Ok(value) => value,
            Err(_) => decoder.mismatch(node, "a smaller number"),
        }
    }

    fn placeholder() -> Self {
        0
    }

    fn check(&self, path: &str, legal: Option<&Legal>, findings: &mut Findings) {
        if let Some(Legal::Whole(range)) = legal {
            findings.whole(path, *self, range);
        }
    }
}

impl Decode for f64 {
    fn decode(node: &Node, decoder: &mut Decoder) -> Self {
        let Kind::Number(raw) = &node.kind else {
            return decoder.mismatch(node, "a number");
        };
        match raw.replace('_', "").parse::<f64>() {
            // Minus zero is zero: they mean the same and must have the same identity.
            Ok(value) if value.is_finite() => value + 0.0,
            _ => decoder.mismatch(node, "a finite decimal number"),
        }
    }

    fn placeholder() -> Self {
        0.0
    }

    fn check(&self, path: &str, legal: Option<&Legal>, findings: &mut Findings) {
        if let Some(Legal::Number(start, end)) = legal {
            findings.number(path, *self, (*start, *end));
        }
    }
}

/// `None`, `Some(value)` or just the value.
impl<T: Decode> Decode for Option<T> {
    fn decode(node: &Node, decoder: &mut Decoder) -> Self {
        match &node.kind {
            Kind::Nothing => None,
            Kind::Some(inner) => Some(T::decode(inner, decoder)),
            _ => Some(T::decode(node, decoder)),
        }
    }

    fn placeholder() -> Self {
        None
    }

    fn check(&self, path: &str, legal: Option<&Legal>, findings: &mut Findings) {
        if let Some(value) = self {
            value.check(path, legal, findings);
        }
    }

    fn describe() -> Option<Type> {
        T::describe()
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node, decoder: &mut Decoder) -> Self {
        match &node.kind {
            Kind::List(items) => elements(items, decoder),
            _ => decoder.mismatch(node, "a list in square brackets"),
        }
    }

    fn placeholder() -> Self {
        Vec::new()
    }

    fn check(&self, path: &str, legal: Option<&Legal>, findings: &mut Findings) {
        check_elements(self, path, legal, findings);
    }

    fn describe() -> Option<Type> {
        T::describe()
    }
}

/// Written as a list or, as in the canonical form, a tuple.
impl<T: Decode + Copy, const N: usize> Decode for [T; N] {
    fn decode(node: &Node, decoder: &mut Decoder) -> Self {
        let items = match &node.kind {
            Kind::List(items) => items,
            Kind::Item {
                name: None,
                body: Body::Values(items),
            } => items,
            _ => return decoder.mismatch(node, &format!("a list of {N}")),
        };
        match elements(items, decoder).try_into() {
            Ok(array) => array,
            Err(_) => decoder.mismatch(node, &format!("a list of {N}")),
        }
    }

    fn placeholder() -> Self {
        [T::placeholder(); N]
    }

    fn check(&self, path: &str, legal: Option<&Legal>, findings: &mut Findings) {
        check_elements(self, path, legal, findings);
    }

    fn describe() -> Option<Type> {
        T::describe()
    }
}

impl<A: Decode, B: Decode> Decode for (A, B) {
    fn decode(node: &Node, decoder: &mut Decoder) -> Self {
        match &node.kind {
            Kind::Item {
                name: None,
                body: Body::Values(items),
            } if items.len() == 2 => (A::decode(&items[0], decoder), B::decode(&items[1], decoder)),
            _ => decoder.mismatch(node, "a pair in brackets"),
        }
    }

    fn placeholder() -> Self {
        (A::placeholder(), B::placeholder())
    }
}

fn elements<T: Decode>(items: &[Node], decoder: &mut Decoder) -> Vec<T> {
    let element = |(i, item)| decoder.inside(format!("[{i}]"), |decoder| decoder.value(item));
    items.iter().enumerate().map(element).collect()
}

fn check_elements<T: Decode>(
    values: &[T],
    path: &str,
    legal: Option<&Legal>,
    findings: &mut Findings,
) {
    for (i, value) in values.iter().enumerate() {
        value.check(&format!("{path}[{i}]"), legal, findings);
    }
}
