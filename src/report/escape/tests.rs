//! Any text comes back from every format as text alone, as the format's own readers see it.

use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use mdbook_markdown::pulldown_cmark::{Event, Tag as Element};
use mdbook_markdown::{MarkdownOptions, new_cmark_parser};
use proptest::prelude::*;
use saphyr_parser::{Event as Yaml, Parser};
use std::cell::RefCell;

use super::*;
use crate::report::table;

/// What begins something in one of the formats.
const NASTY: [&str; 44] = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "{{#include ../../../secret}}",
    "{{ #title x}}",
    "{.class #id}",
    "</code></pre>",
    "</style>",
    "</svg>",
    "<!--",
    "-->",
    "]]>",
    "](javascript:alert(1))",
    "![x](y)",
    "[^1]",
    "[x]: y",
    "`",
    "``",
    "```",
    "~~~",
    "|",
    "\\",
    "\\|",
    "\n",
    "\n\n",
    "\r\n",
    "\t",
    "    ",
    "# ",
    "- ",
    "1. ",
    "> [!NOTE]",
    ": ",
    "---",
    "...",
    "'",
    "\"",
    "&amp;",
    "&#60;",
    "https://a.b",
    "www.a.b",
    "\u{1b}[31m",
    "\u{202e}",
    "*",
    "$x$",
];

fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(&NASTY[..]).prop_map(str::to_owned),
        1 => "[a-z0-9 =+@-]{0,4}",
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// The text of Markdown as mdBook reads it, and the other events.
fn read_markdown(text: &str) -> (String, Vec<Event<'_>>) {
    let events = new_cmark_parser(text, &MarkdownOptions::default());
    let mut read = String::new();
    let others = events.filter(|event| match event {
        Event::Text(text) => {
            read.push_str(text);
            false
        }
        Event::End(_) => false,
        _ => true,
    });
    let others = others.collect();
    (read, others)
}

/// Elements with their attributes, and the text between them, as a browser reads them.
#[derive(Default)]
struct Html {
    tags: RefCell<Vec<Tag>>,
    text: RefCell<String>,
    others: RefCell<usize>,
}

impl TokenSink for Html {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        match token {
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => {
                self.tags.borrow_mut().push(tag)
            }
            Token::CharacterTokens(text) => self.text.borrow_mut().push_str(&text),
            Token::CommentToken(_) | Token::DoctypeToken(_) => *self.others.borrow_mut() += 1,
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

fn read_html(text: &str) -> Html {
    let input = BufferQueue::default();
    input.push_back(text.into());
    let tokenizer = Tokenizer::new(Html::default(), TokenizerOpts::default());
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    tokenizer.sink
}

/// XML has no noncharacters.
fn in_xml(text: &str) -> String {
    text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

/// Undoes [`latex`] as TeX would set it, with what it may not meet as a failure.
fn read_latex(text: &str) -> String {
    let commands = [
        ("\\textasciitilde{}", "~"),
        ("\\textasciicircum{}", "^"),
        ("\\textbackslash{}", "\\"),
        ("\\textless{}", "<"),
        ("\\textgreater{}", ">"),
        ("\\textbar{}", "|"),
        ("\\textasciigrave{}", "`"),
        ("\\char34{}", "\""),
        ("$\\to$", "→"),
        ("$\\times$", "×"),
        ("$\\geq$", "≥"),
        ("$\\leq$", "≤"),
        ("$\\lambda$", "λ"),
        ("$\\pm$", "±"),
        ("$-$", "−"),
        ("--", "–"),
        ("{[}", "["),
        ("{*}", "*"),
        ("{-}", "-"),
        ("{'}", "'"),
        ("{,}", ","),
        ("~", "\u{a0}"),
        ("\\&", "&"),
        ("\\%", "%"),
        ("\\$", "$"),
        ("\\#", "#"),
        ("\\_", "_"),
        ("\\{", "{"),
        ("\\}", "}"),
    ];
    let (mut read, mut rest) = (String::new(), text);
    while let Some(sign) = rest.chars().next() {
        match commands
            .iter()
            .find(|(command, _)| rest.starts_with(command))
        {
            Some((command, means)) => {
                read.push_str(means);
                rest = &rest[command.len()..];
            }
            None => {
                assert!(
                    !"&%$#_{}~^\\<>|`\"[*\n".contains(sign),
                    "{sign:?} in {text:?}"
                );
                read.push(sign);
                rest = &rest[sign.len_utf8()..];
            }
        }
    }
    read
}

proptest! {
    #[test]
    fn markdown_is_text_in_a_paragraph_a_heading_an_item_and_a_cell(text in nasty()) {
        let written = markdown(&text);
        prop_assert!(!written.contains("{{"));
        for (before, after, shown) in [("", "", ["", ""]), ("# ", "\n", ["", ""]), ("- ", "\n", ["", ""]),
            ("> ", "\n", ["", ""]), ("x ", " y", ["x ", " y"])]
        {
            let page = format!("{before}{written}{after}");
            let (read, others) = read_markdown(&page);
            prop_assert_eq!(&read, &shown.join(&text.shown()), "{}", page);
            let plain = |event: &Event<'_>| matches!(event, Event::Start(Element::Paragraph | Element::Heading { id: None, .. }
                | Element::List(None) | Element::Item | Element::BlockQuote(None)));
            prop_assert!(others.iter().all(plain), "{:?}", others);
        }
        let page = table::words(&["a".into(), "b".into()], &[vec![written.clone(), "c".into()]]);
        let (read, others) = read_markdown(&page);
        prop_assert_eq!(read, format!("ab{}c", text.shown()));
        prop_assert_eq!(others.len(), 7);
    }

    #[test]
    fn a_link_has_its_text_and_title_and_leads_where_it_should(text in nasty(), title in nasty(), of in nasty()) {
        let page = format!("- {}\n", link(&code(&text), &file_name(&of), &title));
        let (read, others) = read_markdown(&page);
        prop_assert_eq!(read, text.shown());
        let [_, _, Event::Start(Element::Link { dest_url, title: found, .. }), Event::InlineHtml(open), Event::InlineHtml(close)]
            = &others[..] else { panic!("{others:?}") };
        prop_assert_eq!((&**dest_url, &**found), (&*file_name(&of), &*title.shown()));
        prop_assert_eq!((&**open, &**close), ("<code>", "</code>"));
    }

    #[test]
    fn a_block_of_code_keeps_its_lines(text in nasty()) {
        let page = block("rust", &text) + "\nafter\n";
        prop_assert!(!page.contains("{{"));
        let events: Vec<Event<'_>> = new_cmark_parser(&page, &MarkdownOptions::default()).collect();
        let html: String = events.iter().filter_map(|event| match event {
            Event::Html(html) => Some(&**html),
            _ => None,
        }).collect();
        let html = read_html(&html);
        let names: Vec<String> = html.tags.borrow().iter().map(|tag| tag.name.to_string()).collect();
        prop_assert_eq!(names, ["pre", "code"]);
        let lines: Vec<String> = text.lines()
            .map(|line| line.split('\t').map(Shown::shown).collect::<Vec<_>>().join("\t"))
            .collect();
        prop_assert_eq!(&*html.text.borrow(), &(in_xml(&lines.join("\n")) + "\n\n"));
        prop_assert!(matches!(&events[events.len() - 2], Event::Text(text) if &**text == "after"));
    }

    #[test]
    fn markup_is_text_in_elements_and_attributes(text in nasty()) {
        let html = read_html(&format!("<p title=\"{0}\" id='{0}'>{0}</p>", markup(&text)));
        let known = in_xml(&text.shown());
        prop_assert_eq!(&*html.text.borrow(), &known);
        prop_assert_eq!(*html.others.borrow(), 0);
        let tags = html.tags.borrow();
        prop_assert_eq!(tags.len(), 1);
        let values: Vec<&str> = tags[0].attrs.iter().map(|a| &*a.value).collect();
        prop_assert_eq!(values, [&*known, &*known]);
        prop_assert!(!markup(&text).contains("{{"));
    }

    #[test]
    fn latex_is_text(text in nasty()) {
        prop_assert_eq!(read_latex(&latex(&text)), text.shown());
    }

    #[test]
    fn a_cell_is_no_formula_and_comes_back(texts in prop::collection::vec(nasty(), 1..4)) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        // A reader takes a mark of byte order off a file's first cell, which is a name of ours.
        writer.write_record(texts.iter().map(|_| "name")).unwrap();
        writer.write_record(texts.iter().map(|text| cell(text))).unwrap();
        let written = writer.into_inner().unwrap();
        let mut reader = csv::Reader::from_reader(&written[..]);
        let read = reader.records().next().unwrap().unwrap();
        let formula = ['=', '+', '-', '@', '\t', '\r'];
        for (found, text) in read.iter().zip(&texts) {
            prop_assert!(!found.starts_with(formula), "{:?}", found);
            let marked = found.trim_start_matches('\'').starts_with(formula);
            prop_assert_eq!(if marked { &found[1..] } else { found }, text);
        }
    }

    #[test]
    fn yaml_comes_back(text in nasty()) {
        let document = format!("key: {}\nnext: 1\n", yaml(&text));
        let events: Vec<Yaml<'_>> = Parser::new_from_str(&document).map(|event| event.unwrap().0).collect();
        let scalars: Vec<&str> = events.iter().filter_map(|event| match event {
            Yaml::Scalar(value, ..) => Some(&**value),
            _ => None,
        }).collect();
        prop_assert_eq!(scalars, ["key", &text, "next", "1"]);
    }

    #[test]
    fn file_names_are_plain_and_differ(one in nasty(), two in nasty()) {
        let name = file_name(&one);
        prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)), "{}", name);
        prop_assert!(!name.is_empty() && name.len() <= LONGEST && !name.chars().all(|c| c == '.'));
        prop_assert_eq!(one == two, name == file_name(&two));
    }
}

#[test]
fn names_that_mean_something_get_a_hash() {
    for name in ["index", "README", "..", ".", "", "a/b", "a b", "ü"] {
        assert_ne!(file_name(name), name);
    }
    for name in ["tiny-12345678", "Cargo.toml", ".ci"] {
        assert_eq!(file_name(name), name);
    }
}
