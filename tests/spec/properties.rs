//! What holds for every experiment and for every text.

use ffn::spec::{self, Alteration, Experiment, Init, Method, Model, Res2Net, Tea};
use proptest::prelude::*;

use crate::arbitrary::experiment;

const SHIPPED: &str = include_str!("../../experiments/ffn_tsm_sthv2_official.ron");

fn parse(text: &str) -> Result<Experiment, String> {
    spec::parse("text", text)
        .map(|(experiment, _)| experiment)
        .map_err(|error| error.message)
}

/// A text that is read must have a canonical form that is read again.
fn survives(text: &str) {
    if let Ok(experiment) = parse(text) {
        assert_eq!(parse(&experiment.canonical()).as_ref(), Ok(&experiment));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_canonical_form_is_the_experiment(experiment in experiment()) {
        let canonical = experiment.canonical();
        let read = parse(&canonical);
        prop_assert_eq!(read.as_ref(), Ok(&experiment), "{}", canonical);
        prop_assert_eq!(read.unwrap().canonical(), canonical);
        prop_assert!(spec::diff(&experiment, &experiment).is_empty());
    }

    #[test]
    fn experiments_differ_exactly_when_their_identities_do(a in experiment(), b in experiment()) {
        let differences = spec::diff(&a, &b);
        prop_assert_eq!(differences.is_empty(), a.identity() == b.identity());
        for difference in differences {
            prop_assert_ne!(&difference.before, &difference.after);
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn no_soup_of_tokens_panics(tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..80)) {
        survives(&tokens.concat());
    }

    #[test]
    fn no_edit_of_an_experiment_panics(
        cut in (any::<prop::sample::Index>(), 0usize..30),
        place in any::<prop::sample::Index>(),
        inserted in prop_oneof!["\\PC{0,3}", prop::sample::select(TOKENS).prop_map(String::from)],
    ) {
        let mut text: Vec<char> = SHIPPED.chars().collect();
        let start = cut.0.index(text.len());
        text.drain(start..(start + cut.1).min(text.len()));
        let place = place.index(text.len());
        text.splice(place..place, inserted.chars());
        survives(&text.into_iter().collect::<String>());
    }
}

const TOKENS: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    "Experiment(",
    "method: ",
    "Ffn(",
    "frames: ",
    "[4, 8]",
    "model: ",
    "Tsm(",
    "\"",
    "\"text\"",
    "r#\"",
    "'",
    "b'",
    "//",
    "/*",
    "*/",
    "#",
    "\\",
    "\\u{",
    "0x",
    "1e",
    "-",
    "1e999",
    "18446744073709551616",
    "None",
    "Some(",
    "NaN",
    "\n",
    " ",
    "é",
    "\u{1f600}",
    "data: ",
    "Miniature(",
    "shift: ",
    "(div: 0)",
    "train: ",
    "(batch: 18446744073709551615)",
    "eval: ",
    "lambda: ",
];

#[test]
fn deep_nesting_is_a_mistake() {
    for bracket in ["(", "[", "{", "Some(", "a(b:", "/*"] {
        let error = parse(&bracket.repeat(100_000)).unwrap_err();
        assert!(error.contains("mistake"), "{bracket}");
    }
}

/// No text of the largest size that is read keeps a person waiting.
#[test]
fn many_mistakes_are_reported_soon() {
    let start = std::time::Instant::now();
    for item in ["a:1,", "train:(a:", "1.5,", "\"", "eval:(frames:[0,0,0]),"] {
        let line = format!("{item}\n");
        assert!(
            parse(&format!("({}", line.repeat((1 << 16) / line.len()))).is_err(),
            "{item}"
        );
    }
    let error = parse(&format!("(eval: (frames: [{}]))", "1.5,\n".repeat(12_000))).unwrap_err();
    assert!(error.contains("more"));
    assert!(start.elapsed().as_secs() < 30);
}

#[test]
fn whole_numbers_and_decimal_ones_are_the_same_experiment() {
    let identity = parse(SHIPPED).unwrap().identity();
    let rewritten = SHIPPED
        .replace("lambda: 1,", "lambda: 1.0e0,")
        .replace("5e-4", "0.000_5");
    assert_ne!(SHIPPED, rewritten);
    assert_eq!(parse(&rewritten).unwrap().identity(), identity);
}

#[test]
fn order_comments_and_defaults_do_not_change_the_identity() {
    let identity = parse(SHIPPED).unwrap().identity();
    let rewritten = SHIPPED
        .replace("lambda: 1,", "")
        .replace("seed", "")
        .replace("Experiment(", "/* a comment */ (seed: 1,");
    assert_eq!(parse(&rewritten).unwrap().identity(), identity);
}

#[test]
fn tea_has_defaults_of_its_own() {
    let tea = parse(include_str!("../../fixtures/experiments/tea.ron")).unwrap();
    let backbone = Res2Net {
        blocks: [3, 4, 6, 3],
        planes: 64,
        width: 26,
        scale: 4,
    };
    assert_eq!(
        [0, 1, 2, 3].map(|stage| backbone.part(stage)),
        [26, 52, 104, 208]
    );
    let model = Model::Tea(Tea {
        backbone,
        dropout: 0.5,
        init: Init::Random,
    });
    assert_eq!(tea.model, model);
    let Method::Ffn(ffn) = &tea.method else {
        panic!("{:?}", tea.method);
    };
    assert_eq!(ffn.alteration, Alteration::Off);
}

/// The identity names runs on people's disks: a change of the canonical form must be meant.
#[test]
fn the_identity_of_a_shipped_experiment_stays() {
    insta::assert_snapshot!(parse(SHIPPED).unwrap().identity());
}
