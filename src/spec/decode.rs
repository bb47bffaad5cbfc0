//! The decoder: tree → raw types. It collects every mistake instead of stopping at the first: a value with a
//! mistake is replaced by a placeholder, and its path is remembered so that no later rule complains about it.

use std::collections::{BTreeMap, BTreeSet};

use super::report::Mistake;
use super::syntax::{Body, Field, Kind, Name, Node, Span};

/// A type of the language.
pub trait Decode: Sized {
    /// The value of a node; a placeholder after a mistake.
    fn decode(node: &Node, decoder: &mut Decoder) -> Self;

    /// Stands in for a value with a mistake while the rest of the file is checked. Never leaves `load`.
    fn placeholder() -> Self;

    /// The value of a field that is not in the file; `None`: the field is required.
    fn absent() -> Option<Self> {
        None
    }
}

/// A field that may be left out: resolving chooses its default.
#[derive(Debug, Clone)]
pub struct Setting<T>(Option<T>);

impl<T> Default for Setting<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Setting<T> {
    /// The value in the file, else the default.
    pub fn or(self, default: T) -> T {
        self.0.unwrap_or(default)
    }

    pub fn given(self) -> Option<T> {
        self.0
    }

    /// The struct in the file, else one that gives none of its settings.
    pub fn or_empty(self) -> T
    where
        T: Decode,
    {
        self.0.unwrap_or_else(T::placeholder)
    }
}

impl<T: Decode> Decode for Setting<T> {
    fn decode(node: &Node, decoder: &mut Decoder) -> Self {
        let value = T::decode(node, decoder);
        let path = decoder.path();
        // With a mistake in it the default is a better stand-in than a placeholder.
        Self((!decoder.failed.contains(&path)).then_some(value))
    }

    fn placeholder() -> Self {
        Self(None)
    }

    fn absent() -> Option<Self> {
        Some(Self(None))
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for Setting<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

/// What was found on the way through a file.
#[derive(Debug, Default)]
pub struct Decoder {
    pub mistakes: Vec<Mistake>,
    /// Paths whose values are placeholders.
    pub failed: BTreeSet<String>,
    /// The place of every value, by path.
    pub spans: BTreeMap<String, Span>,
    /// Recovery from a syntax error may have skipped fields: none is reported as missing.
    incomplete: bool,
    path: Vec<String>,
}

impl Decoder {
    /// A decoder for a text with these mistakes of syntax.
    pub fn after(syntax: Vec<Mistake>) -> Self {
        Self {
            incomplete: !syntax.is_empty(),
            mistakes: syntax,
            ..Self::default()
        }
    }

    /// Of the value that is being decoded, such as `method.frames[1]`.
    pub fn path(&self) -> String {
        self.path.concat()
    }

    /// Records a mistake of the value that is being decoded and gives its placeholder.
    pub fn fail<T: Decode>(&mut self, mistake: Mistake) -> T {
        self.failed.insert(self.path());
        self.mistakes.push(mistake);
        T::placeholder()
    }

    /// The value is of another type than expected.
    pub fn mismatch<T: Decode>(&mut self, node: &Node, expected: &str) -> T {
        if node.kind == Kind::Broken {
            self.failed.insert(self.path());
            return T::placeholder();
        }
        let message = format!("expected {expected}, found {}", describe(node));
        self.fail(Mistake::new(message).label(node.span.clone(), format!("expected {expected}")))
    }

    fn inside<T>(&mut self, segment: String, work: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(segment);
        let result = work(self);
        self.path.pop();
        result
    }

    fn field<T: Decode>(&mut self, name: &str, value: &Node) -> T {
        let dot = if self.path.is_empty() { "" } else { "." };
        self.inside(format!("{dot}{name}"), |decoder| decoder.value(value))
    }

    /// Decodes a value and remembers its place.
    pub fn value<T: Decode>(&mut self, node: &Node) -> T {
        self.spans.insert(self.path(), node.span.clone());
        T::decode(node, self)
    }
}

/// The fields of a struct in the file, while they are taken one by one.
pub struct Fields<'a> {
    owner: &'static str,
    span: Span,
    fields: &'a [Field],
}

impl<'a> Fields<'a> {
    /// The fields of a node that should be `owner(…)` or `(…)`, with unknown and repeated ones reported.
    pub fn of(
        node: &'a Node,
        owner: &'static str,
        known: &[&str],
        decoder: &mut Decoder,
    ) -> Option<Self> {
        let Kind::Item { name, body } = &node.kind else {
            return None;
        };
        if let Some(name) = name.as_ref().filter(|name| name.text != owner) {
            let mistake = Mistake::new(format!("expected `{owner}`, found `{}`", name.text));
            decoder
                .mistakes
                .push(mistake.label(name.span.clone(), format!("should be `{owner}`")));
        }
        let fields = match body {
            Body::Fields(fields) => fields.as_slice(),
            Body::Bare => &[],
            Body::Values(values) if values.is_empty() => &[],
            Body::Values(_) => return None,
        };
        let fields = Self {
            owner,
            span: name
                .as_ref()
                .map_or(node.span.clone(), |name| name.span.clone()),
            fields,
        };
        fields.report_unknown(known, decoder);
        fields.report_repeated(decoder);
        Some(fields)
    }

    fn report_unknown(&self, known: &[&str], decoder: &mut Decoder) {
        for Field { name, .. } in self
            .fields
            .iter()
            .filter(|f| !known.contains(&&*f.name.text))
        {
            let message = format!("unknown field `{}` of `{}`", name.text, self.owner);
            let label = nearest(&name.text, known).map_or("no such field".to_string(), |near| {
                format!("did you mean `{near}`?")
            });
            let mistake = Mistake::new(message).label(name.span.clone(), label);
            decoder
                .mistakes
                .push(mistake.hint(format!("known fields: {}", list(known))));
        }
    }

    fn report_repeated(&self, decoder: &mut Decoder) {
        for (i, Field { name, .. }) in self.fields.iter().enumerate() {
            if let Some(first) = self.fields[..i].iter().find(|f| f.name.text == name.text) {
                let mistake = Mistake::new(format!("field `{}` is given twice", name.text))
                    .label(name.span.clone(), "given again")
                    .label(first.name.span.clone(), "first given here");
                decoder.mistakes.push(mistake);
            }
        }
    }

    /// The value of a field; the first one, where it is repeated.
    pub fn take<T: Decode>(&self, name: &str, decoder: &mut Decoder) -> T {
        if let Some(field) = self.fields.iter().find(|f| f.name.text == name) {
            return decoder.field(name, &field.value);
        }
        if let Some(value) = T::absent() {
            return value;
        }
        let dot = if decoder.path.is_empty() { "" } else { "." };
        decoder.inside(format!("{dot}{name}"), |decoder| {
            decoder.failed.insert(decoder.path());
            if !decoder.incomplete {
                let message = format!("missing field `{name}` of `{}`", self.owner);
                let label = format!("`{name}` is not given");
                let mistake = Mistake::new(message).label(self.span.clone(), label);
                decoder.mistakes.push(mistake);
            }
        });
        T::placeholder()
    }
}

/// A variant as it stands in the file: its name and the node that holds what is in its brackets.
pub struct Variant {
    pub name: Name,
    pub content: Node,
    has_content: bool,
}

impl Variant {
    /// `Name`, `Name(…)`; also `None`, which RON reads as an option.
    pub fn of(node: &Node) -> Option<Self> {
        let (name, body) = match &node.kind {
            Kind::Nothing => ("None".to_string(), Body::Bare),
            Kind::Item {
                name: Some(name),
                body,
            } => (name.text.clone(), body.clone()),
            _ => return None,
        };
        let span = match &node.kind {
            Kind::Item { name: Some(n), .. } => n.span.clone(),
            _ => node.span.clone(),
        };
        let has_content = body != Body::Bare;
        let content = match body {
            // `Name(value)`; the brackets of a variant and those of its struct are the same.
            Body::Values(mut values) if values.len() == 1 => values.remove(0),
            Body::Bare => bracketed(span.clone(), Body::Values(Vec::new())),
            body => bracketed(node.span.clone(), body),
        };
        Some(Self {
            name: Name { text: name, span },
            content,
            has_content,
        })
    }

    /// A variant without content was given some.
    pub fn report_content(&self, decoder: &mut Decoder) {
        if self.has_content {
            let message = format!("`{}` takes nothing in brackets", self.name.text);
            let label = format!("write `{}` alone", self.name.text);
            decoder
                .mistakes
                .push(Mistake::new(message).label(self.name.span.clone(), label));
        }
    }
}

fn bracketed(span: Span, body: Body) -> Node {
    let kind = Kind::Item { name: None, body };
    Node { span, kind }
}

/// The node names no variant of an enumeration.
pub fn unknown_variant<T: Decode>(
    node: &Node,
    subject: &str,
    known: &[&str],
    decoder: &mut Decoder,
) -> T {
    let given = match &node.kind {
        Kind::Item {
            name: Some(name), ..
        } => name.clone(),
        Kind::Text(text) if known.contains(&text.as_str()) => {
            let message = format!("expected {subject}, found a text");
            let label = format!("write {text} without quotes");
            return decoder.fail(Mistake::new(message).label(node.span.clone(), label));
        }
        Kind::Nothing => Name {
            text: "None".into(),
            span: node.span.clone(),
        },
        _ => return decoder.mismatch(node, &format!("{subject}: {}", list(known))),
    };
    let label = nearest(&given.text, known).map_or(format!("not {subject}"), |near| {
        format!("did you mean `{near}`?")
    });
    let message = format!("unknown variant `{}` of {subject}", given.text);
    let mistake = Mistake::new(message).label(given.span, label);
    decoder.fail(mistake.hint(format!("known: {}", list(known))))
}

/// The known name that was probably meant: at most a third of it is wrong.
fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let given = given.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&given, &name.to_lowercase());
    let (distance, name) = known.iter().map(|name| (distance(name), *name)).min()?;
    (distance <= (name.len() / 3).max(1)).then_some(name)
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

fn describe(node: &Node) -> String {
    match &node.kind {
        Kind::Bool(value) => format!("`{value}`"),
        Kind::Number(raw) => format!("the number {raw}"),
        Kind::Text(_) => "a text".into(),
        Kind::List(_) => "a list".into(),
        Kind::Nothing => "`None`".into(),
        Kind::Some(_) => "`Some(…)`".into(),
        Kind::Item { name, body } => match (body, name) {
            (Body::Values(values), _) if !values.is_empty() => "values without names".into(),
            (_, Some(name)) => format!("`{}`", name.text),
            (Body::Fields(_), None) => "fields in brackets".into(),
            (_, None) => "empty brackets".into(),
        },
        Kind::Foreign(what) => (*what).into(),
        Kind::Broken => "no RON".into(),
    }
}

/// `Decode` for structs: every field by its name.
macro_rules! fields {
    ($($name:ident { $($field:ident),* $(,)? })*) => {$(
        impl $crate::spec::decode::Decode for $name {
            fn decode(
                node: &$crate::spec::syntax::Node,
                decoder: &mut $crate::spec::decode::Decoder,
            ) -> Self {
                let known = &[$(stringify!($field)),*];
                let Some(fields) =
                    $crate::spec::decode::Fields::of(node, stringify!($name), known, decoder)
                else {
                    return decoder.mismatch(node, concat!("the fields of `", stringify!($name), "`"));
                };
                Self { $($field: fields.take(stringify!($field), decoder)),* }
            }

            fn placeholder() -> Self {
                Self { $($field: $crate::spec::decode::Decode::placeholder()),* }
            }
        }
    )*};
}

/// Declares the raw form of structs: required fields and those with a default, each with its documentation.
macro_rules! raw {
    ($(
        $(#[$meta:meta])*
        struct $name:ident {
            $(required { $($(#[$rmeta:meta])* $required:ident: $rtype:ty),* $(,)? })?
            $(optional { $($(#[$ometa:meta])* $optional:ident: $otype:ty),* $(,)? })?
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub struct $name {
            $($($(#[$rmeta])* pub $required: $rtype,)*)?
            $($($(#[$ometa])* #[schemars(default)] pub $optional: $crate::spec::decode::Setting<$otype>,)*)?
        }

        $crate::spec::decode::fields! {
            $name { $($($required,)*)? $($($optional,)*)? }
        }
    )*};
}

/// `Decode` for enumerations: `Unit`, `Fields { a, b }` or `Content(_)` for each variant, after the words that
/// name the subject in messages.
macro_rules! variants {
    ($($name:ident, $subject:literal {
        $first:ident $({ $($ffield:ident),* })? $(($fany:tt))?
        $(, $variant:ident $({ $($field:ident),* })? $(($any:tt))?)* $(,)?
    })*) => {$(
        impl $crate::spec::decode::Decode for $name {
            fn decode(
                node: &$crate::spec::syntax::Node,
                decoder: &mut $crate::spec::decode::Decoder,
            ) -> Self {
                let known = &[stringify!($first) $(, stringify!($variant))*];
                let Some(variant) = $crate::spec::decode::Variant::of(node) else {
                    return $crate::spec::decode::unknown_variant(node, $subject, known, decoder);
                };
                $crate::spec::decode::variants!(@arm $name, variant, decoder, $first $({ $($ffield),* })? $(($fany))?);
                $($crate::spec::decode::variants!(@arm $name, variant, decoder, $variant $({ $($field),* })? $(($any))?);)*
                $crate::spec::decode::unknown_variant(node, $subject, known, decoder)
            }

            fn placeholder() -> Self {
                $crate::spec::decode::variants!(@placeholder $first $({ $($ffield),* })? $(($fany))?)
            }
        }
    )*};
    (@arm $name:ident, $given:ident, $decoder:ident, $variant:ident) => {
        if $given.name.text == stringify!($variant) {
            $given.report_content($decoder);
            return $name::$variant;
        }
    };
    (@arm $name:ident, $given:ident, $decoder:ident, $variant:ident { $($field:ident),* }) => {
        if $given.name.text == stringify!($variant) {
            let known = &[$(stringify!($field)),*];
            let Some(fields) =
                $crate::spec::decode::Fields::of(&$given.content, stringify!($variant), known, $decoder)
            else {
                return $decoder.mismatch(&$given.content, concat!("the fields of `", stringify!($variant), "`"));
            };
            return $name::$variant { $($field: fields.take(stringify!($field), $decoder)),* };
        }
    };
    (@arm $name:ident, $given:ident, $decoder:ident, $variant:ident ($any:tt)) => {
        if $given.name.text == stringify!($variant) {
            return $name::$variant($crate::spec::decode::Decode::decode(&$given.content, $decoder));
        }
    };
    (@placeholder $variant:ident) => { Self::$variant };
    (@placeholder $variant:ident { $($field:ident),* }) => {
        Self::$variant { $($field: $crate::spec::decode::Decode::placeholder()),* }
    };
    (@placeholder $variant:ident ($any:tt)) => {
        Self::$variant($crate::spec::decode::Decode::placeholder())
    };
}

pub(super) use {fields, raw, variants};

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

    fn absent() -> Option<Self> {
        Some(None)
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
