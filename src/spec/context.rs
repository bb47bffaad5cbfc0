//! What may stand at a place of a text, and what the word there means: for editors.
//!
//! A text that is being written seldom parses. So the place is found from the tokens before it: which brackets are open,
//! what stands before each, and what the language says of that. Of fields that have no place in a bracket that was never
//! closed it is taken that they belong to one around it.

use super::decode::Decode;
use super::examine::{self, Language};
use super::experiment::Experiment;
use super::lexer::{self, Token, TokenKind};
use super::setting::{Body, Content, Effect, Field, Type, Variant, required};
use super::shape::Shape;
use super::suite::{Quantity, raw};
use super::syntax::Span;

/// Brackets in one another; nobody writes more.
const DEEPEST: usize = 64;

/// A field at a place in a file.
#[derive(Clone)]
pub struct Slot {
    /// Nameless: what is in a variant's brackets, or the file.
    pub field: Field,
    /// What it acts on, itself or through what holds it.
    pub effect: Option<Effect>,
    /// What its text names.
    pub names: Names,
    /// Whether a place is in its list.
    pub in_list: bool,
    /// Whether a list of alternatives is expected.
    pub in_grid: bool,
}

/// What a text can name that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    Nothing,
    /// Members of the suite.
    Members,
    /// An experiment file beside the suite.
    Files,
}

/// What may be written at a place.
pub enum Wanted {
    /// The file's own type.
    File(Vec<Type>),
    /// Names of fields: those that are not given yet.
    Fields(Vec<Slot>),
    Value(Slot),
}

/// A place in a text.
pub struct Context {
    /// What is there of the word, which is replaced; of a text what is between the quotes.
    pub word: Span,
    pub in_text: bool,
    /// Whether `:` follows, and whether `(` does.
    pub before_colon: bool,
    pub before_bracket: bool,
    pub wanted: Wanted,
}

/// What a word means.
pub enum Meaning {
    Field(Slot),
    Variant(Variant),
    Type(Type),
}

/// What may be written at `offset`; `None` where nothing is known of it: in comments, in numbers, behind a value.
pub fn at(text: &str, offset: usize) -> Option<Context> {
    let (tokens, _) = lexer::tokens(text);
    let found = tokens.iter().position(|token| touches(token, offset, text));
    let (before, word, after) = match found {
        Some(index) => (
            tokens.get(..index)?,
            tokens.get(index),
            tokens.get(index + 1..)?,
        ),
        None => {
            let next = tokens.partition_point(|token| token.span.end <= offset);
            let (before, after) = tokens.split_at_checked(next)?;
            (before, None, after)
        }
    };
    let in_text = match word.map(|word| &word.kind) {
        None if in_comment(text, before, offset) => return None,
        None | Some(TokenKind::Name(_)) => false,
        Some(TokenKind::Text(_)) => true,
        Some(_) => return None,
    };
    let span = match word {
        None => offset..offset,
        Some(word) if in_text => between_quotes(text, &word.span)?,
        Some(word) => word.span.clone(),
    };
    let follows = |sign| {
        after
            .first()
            .is_some_and(|next| next.kind == TokenKind::Punct(sign))
    };
    let walk = Walk::over(text, &tokens, before)?;
    let last = before.last().map_or(0, |last| last.span.end);
    let new_line = text
        .get(last..span.start)
        .is_some_and(|gap| gap.contains('\n'));
    Some(Context {
        in_text,
        before_colon: follows(':'),
        before_bracket: follows('('),
        wanted: walk.wanted(after, new_line)?,
        word: span,
    })
}

/// What the word at `offset` means, and where it is.
pub fn meaning(text: &str, offset: usize) -> Option<(Span, Meaning)> {
    let (tokens, _) = lexer::tokens(text);
    let is_there = |token: &Token| (token.span.start..=token.span.end).contains(&offset);
    let is_word = |token: &Token| !matches!(token.kind, TokenKind::Punct(_));
    let index = tokens
        .iter()
        .position(|token| is_there(token) && is_word(token))?;
    let (before, word, next) = (
        tokens.get(..index)?,
        tokens.get(index)?,
        tokens.get(index + 1),
    );
    let walk = Walk::over(text, &tokens, before)?;
    let before_colon = next.is_some_and(|next| next.kind == TokenKind::Punct(':'));
    let meaning = match &word.kind {
        TokenKind::Name(name) if before_colon => Meaning::Field(walk.field(name)?),
        TokenKind::Name(name) => named(&walk.slot()?, name),
        _ => Meaning::Field(walk.slot()?),
    };
    Some((word.span.clone(), meaning))
}

/// A name where a value is expected.
fn named(slot: &Slot, name: &str) -> Meaning {
    let variant = |described: &Type| match &described.body {
        Body::Variants(variants) => variants
            .iter()
            .find(|variant| variant.name == name)
            .cloned(),
        _ => None,
    };
    match slot.described() {
        Some(described) if described.name == name => Meaning::Type(described),
        Some(described) => {
            variant(&described).map_or(Meaning::Field(slot.clone()), Meaning::Variant)
        }
        None => Meaning::Field(slot.clone()),
    }
}

/// Whether a place is in a token that is completed there. A word and a text that is open are, where they end.
fn touches(token: &Token, offset: usize, text: &str) -> bool {
    let (end, inside) = (token.span.end, token.span.start < offset);
    let is_open = between_quotes(text, &token.span).is_some_and(|inside| inside.end == end);
    match token.kind {
        TokenKind::Punct(_) => false,
        TokenKind::Text(_) | TokenKind::Foreign(_) => {
            inside && (offset < end || is_open && offset == end)
        }
        TokenKind::Name(_) | TokenKind::Number(_) => inside && offset <= end,
    }
}

/// What is between the quotes of a text, of which the second may be missing; `None` of one that is written otherwise.
fn between_quotes(text: &str, span: &Span) -> Option<Span> {
    let rest = text.get(span.clone())?.strip_prefix('"')?;
    let length = rest.strip_suffix('"').unwrap_or(rest).len();
    Some(span.start + 1..span.start + 1 + length)
}

/// Whether a place that is in no token, but behind those `before` it, is in a comment.
fn in_comment(text: &str, before: &[Token], offset: usize) -> bool {
    let start = before.last().map_or(0, |last| last.span.end);
    let mut rest = text.get(start..offset).unwrap_or_default();
    loop {
        let Some(at) = rest.find(['/', '#']) else {
            return false;
        };
        rest = rest.get(at..).unwrap_or_default();
        let end = match rest.get(..2) {
            Some("/*") => rest.find("*/").map(|end| end + 2),
            Some("//") => rest.find('\n'),
            _ if rest.starts_with('#') => rest.find('\n'),
            _ => Some(1),
        };
        match end {
            Some(end) => rest = rest.get(end..).unwrap_or_default(),
            None => return true,
        }
    }
}

/// What may stand in a bracket.
enum Inside {
    Fields(Vec<Slot>),
    Values(Slot),
    Unknown,
}

/// A bracket that is open.
struct Open {
    close: char,
    inside: Inside,
    /// Fields that were given in it.
    given: Vec<String>,
    /// The field whose value comes next, or is there.
    pending: Option<String>,
    /// Whether a value is there, behind which a comma is expected.
    has_value: bool,
    /// The name with which that value begins.
    head: Option<String>,
}

impl Open {
    fn new(close: char, inside: Inside) -> Self {
        Self {
            close,
            inside,
            given: Vec::new(),
            pending: None,
            has_value: false,
            head: None,
        }
    }

    fn field(&self, name: &str) -> Option<&Slot> {
        match &self.inside {
            Inside::Fields(slots) => slots.iter().find(|slot| slot.field.name == name),
            Inside::Values(_) | Inside::Unknown => None,
        }
    }

    /// What the next value, or the one that is there, belongs to.
    fn slot(&self) -> Option<&Slot> {
        match &self.inside {
            Inside::Fields(_) => self.field(self.pending.as_deref()?),
            Inside::Values(slot) => Some(slot),
            Inside::Unknown => None,
        }
    }

    fn begins_field(&self) -> bool {
        let free = self.pending.is_none() || self.has_value;
        free && !matches!(self.inside, Inside::Values(_))
    }
}

/// The way through the tokens before a place.
struct Walk {
    /// The file, and every bracket that is open, the innermost last.
    open: Vec<Open>,
    /// Whether the text opens more brackets than it closes.
    unbalanced: bool,
}

impl Walk {
    /// `None` of brackets too deep to be an experiment's.
    fn over(text: &str, all: &[Token], before: &[Token]) -> Option<Self> {
        let count = |signs: [char; 3]| {
            let is_one =
                |token: &&Token| matches!(token.kind, TokenKind::Punct(c) if signs.contains(&c));
            all.iter().filter(is_one).count()
        };
        let mut walk = Self {
            open: vec![Open::new(' ', file(text))],
            unbalanced: count(['(', '[', '{']) > count([')', ']', '}']),
        };
        for (index, token) in before.iter().enumerate() {
            let next = all.get(index + 1).map(|next| &next.kind);
            walk.step(&token.kind, next);
            if walk.open.len() > DEEPEST {
                return None;
            }
        }
        Some(walk)
    }

    fn step(&mut self, token: &TokenKind, next: Option<&TokenKind>) {
        let Some(open) = self.open.last_mut() else {
            return;
        };
        let before = |sign| next == Some(&TokenKind::Punct(sign));
        match token {
            TokenKind::Name(name) if before(':') || open.begins_field() && !before('(') => {
                self.begin_field(name);
            }
            TokenKind::Name(name) => {
                (open.head, open.has_value) = (Some(name.clone()), true);
            }
            TokenKind::Punct('(' | '[' | '{') => {
                let head = open.head.take();
                let inside = inside(open.slot(), head.as_deref(), token);
                open.has_value = true;
                let close = match token {
                    TokenKind::Punct('(') => ')',
                    TokenKind::Punct('[') => ']',
                    _ => '}',
                };
                self.open.push(Open::new(close, inside));
            }
            TokenKind::Punct(',') => {
                (open.pending, open.head, open.has_value) = (None, None, false);
            }
            TokenKind::Punct(':') => {}
            TokenKind::Punct(close) => self.close(*close),
            TokenKind::Number(_) | TokenKind::Text(_) | TokenKind::Foreign(_) => {
                (open.head, open.has_value) = (None, true);
            }
        }
    }

    fn begin_field(&mut self, name: &str) {
        let is_known = |open: &Open| open.field(name).is_some();
        if self.unbalanced
            && let Some(holder) = self.open.iter().rposition(is_known)
        {
            self.open.truncate(holder + 1);
        }
        if let Some(open) = self.open.last_mut() {
            open.given.push(name.to_owned());
            (open.pending, open.head, open.has_value) = (Some(name.to_owned()), None, false);
        }
    }

    /// Closes the nearest bracket of the kind; one that nothing opened is passed over.
    fn close(&mut self, close: char) {
        if let Some(index) = self.open.iter().rposition(|open| open.close == close) {
            self.open.truncate(index);
        }
    }

    /// A field by its name, in the innermost bracket that has it.
    fn field(&self, name: &str) -> Option<Slot> {
        let innermost = self.open.last()?.field(name);
        let around = || self.open.iter().rev().find_map(|open| open.field(name));
        let slot = innermost.or_else(|| self.unbalanced.then(around).flatten());
        slot.cloned()
    }

    /// What the value behind all that was read belongs to.
    fn slot(&self) -> Option<Slot> {
        self.open.last()?.slot().cloned()
    }

    /// What may come next. `after`: the tokens behind the place; `new_line`: whether it is on another line than the last token.
    fn wanted(mut self, after: &[Token], new_line: bool) -> Option<Wanted> {
        let is_file = self.open.len() == 1;
        let open = self.open.pop()?;
        match open.inside {
            _ if is_file => (!open.has_value).then(|| Wanted::File(file_types())),
            Inside::Values(slot) => (!open.has_value).then_some(Wanted::Value(slot)),
            Inside::Unknown => None,
            Inside::Fields(_) if open.pending.is_some() && !open.has_value => {
                open.slot().cloned().map(Wanted::Value)
            }
            Inside::Fields(_) if open.has_value && !new_line => None,
            Inside::Fields(slots) => {
                let given = given(after, open.given);
                let is_free = |slot: &Slot| !given.iter().any(|name| name == slot.field.name);
                Some(Wanted::Fields(slots.into_iter().filter(is_free).collect()))
            }
        }
    }
}

fn file_types() -> Vec<Type> {
    let types = [Experiment::describe(), raw::Suite::describe()];
    types.into_iter().flatten().collect()
}

/// What a file of this text is.
fn file(text: &str) -> Inside {
    let field = match examine::language(text) {
        Some(Language::Experiment) => required::<Experiment>().field("", &[]),
        Some(Language::Suite) => required::<raw::Suite>().field("", &[]),
        None => return Inside::Unknown,
    };
    Inside::Values(Slot {
        field,
        effect: None,
        names: Names::Nothing,
        in_list: false,
        in_grid: false,
    })
}

/// The fields that are given in a bracket: those before a place and those behind it.
fn given(after: &[Token], mut given: Vec<String>) -> Vec<String> {
    let mut depth = 0usize;
    for (index, token) in after.iter().enumerate() {
        let next = after.get(index + 1).map(|next| &next.kind);
        match &token.kind {
            TokenKind::Punct('(' | '[' | '{') => depth += 1,
            TokenKind::Punct(')' | ']' | '}') => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => break,
            },
            TokenKind::Name(name) if depth == 0 && next == Some(&TokenKind::Punct(':')) => {
                given.push(name.clone());
            }
            _ => {}
        }
    }
    given
}

/// What may stand in a bracket that opens at a value of `slot`, behind `head`.
fn inside(slot: Option<&Slot>, head: Option<&str>, bracket: &TokenKind) -> Inside {
    let Some(slot) = slot else {
        return Inside::Unknown;
    };
    match (bracket, head) {
        // An alternative is as the field itself.
        (TokenKind::Punct('['), _) => Inside::Values(Slot {
            in_list: !slot.in_grid,
            in_grid: false,
            ..slot.clone()
        }),
        (TokenKind::Punct('('), Some("Some")) => Inside::Values(slot.clone()),
        (TokenKind::Punct('('), head) => slot.content(head),
        _ => Inside::Unknown,
    }
}

impl Slot {
    /// The type of its value, or of what is in that, where it is one of the language's own.
    pub fn described(&self) -> Option<Type> {
        match self.field.inside()? {
            Type {
                body: Body::As(other),
                ..
            } => other(),
            described => Some(described),
        }
    }

    /// The form of what is written here: of a list, in it, that of each.
    pub fn shape(&self) -> Shape {
        let shape = self.field.shape();
        let plain = match shape {
            Shape::Optional(value) if self.in_list => *value,
            shape => shape,
        };
        match plain {
            Shape::List(Some(items)) if self.in_list => *items,
            shape => shape,
        }
    }

    fn content(&self, head: Option<&str>) -> Inside {
        let Some(described) = self.described() else {
            return Inside::Unknown;
        };
        let name = described.name;
        match (described.body, head) {
            (Body::Fields(fields), _) => Inside::Fields(self.slots(name, fields)),
            (Body::Variants(variants), Some(head)) => {
                let variant = variants.into_iter().find(|variant| variant.name == head);
                variant.map_or(Inside::Unknown, |variant| {
                    self.variant(name, variant.content)
                })
            }
            // Laid over an experiment, a variant may stay unnamed: whichever it is.
            (body @ Body::Variants(_), None) => {
                let doc = String::new();
                let fields = Type { name, doc, body }.fields();
                Inside::Fields(self.slots(name, fields))
            }
            (Body::As(_), _) => Inside::Unknown,
        }
    }

    fn variant(&self, holder: &str, content: Content) -> Inside {
        match content {
            Content::Nothing => Inside::Unknown,
            Content::Fields(fields) => Inside::Fields(self.slots(holder, fields)),
            Content::Value(field) => {
                let slot = self.slot(holder, field);
                match slot.described().map(|described| described.body) {
                    Some(Body::Fields(_)) => slot.content(None),
                    _ => Inside::Values(slot),
                }
            }
        }
    }

    fn slots(&self, holder: &str, fields: Vec<Field>) -> Vec<Slot> {
        let mut slots: Vec<Slot> = Vec::new();
        for field in fields {
            if !slots.iter().any(|slot| slot.field.name == field.name) {
                slots.push(self.slot(holder, field));
            }
        }
        slots
    }

    fn slot(&self, holder: &str, field: Field) -> Slot {
        Slot {
            effect: field.effect.or(self.effect),
            names: names(holder, &field),
            in_list: false,
            // A suite's, the only field of this name.
            in_grid: field.name == "grid" || self.in_grid,
            field,
        }
    }
}

/// In a suite every text of a quantity names members.
fn names(holder: &str, field: &Field) -> Names {
    let is = |described: Option<Type>, name: &str| described.is_some_and(|it| it.name == name);
    match field.inside() {
        Some(inside) if is(raw::Origin::describe(), inside.name) => Names::Files,
        None if is(Quantity::describe(), holder) && is_text(&field.shape()) => Names::Members,
        _ => Names::Nothing,
    }
}

fn is_text(shape: &Shape) -> bool {
    match shape {
        Shape::List(Some(items)) => is_text(items),
        shape => *shape == Shape::Text,
    }
}
