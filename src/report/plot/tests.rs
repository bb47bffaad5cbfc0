//! Every figure on small and on hostile data: whole XML, ids of its own, finite places, the same image as before.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::analysis::Alterations;
use crate::analysis::alteration;
use crate::analysis::drift;
use crate::analysis::predictions::Matrix;
use crate::run::metrics::Record;

fn line(label: &str, kind: Kind, seeds: usize, top1: &[(usize, f64)]) -> Line {
    let accuracy = |&(frames, top1): &(usize, f64)| Accuracy {
        frames,
        gflops: 0.03 * frames as f64,
        top1,
        range: (top1 - 5.0, top1 + 5.0),
    };
    Line {
        label: label.to_owned(),
        kind,
        seeds,
        points: top1.iter().map(accuracy).collect(),
    }
}

fn deviation<'a>(id: &'a str, lines: &'a [Line]) -> Deviation<'a> {
    Deviation {
        id,
        dataset: "miniature",
        clips: 320,
        lines,
        paper: Some(&paper::SSV2),
    }
}

fn record(step: u64, epoch: u64, loss: f64) -> Record {
    Record {
        step,
        epoch,
        lr: 0.1,
        loss,
        terms: BTreeMap::from([("ce".to_owned(), loss), ("kl.4".to_owned(), loss / 2.0)]),
        grad_norm: 1.0,
        accuracy: BTreeMap::from([(4, 0.25), (16, 0.5)]),
        skipped: Vec::new(),
    }
}

fn series(values: &[f64]) -> drift::Series {
    let layer = |&value: &f64| drift::Layer {
        name: "bn1".to_owned(),
        channels: 8,
        shift: value,
        scale: value,
        divergence: value,
    };
    drift::Series {
        frames: 4,
        branch: 16,
        layers: values.iter().map(layer).collect(),
    }
}

fn alterations(values: [f64; 7]) -> Alterations {
    let layer = |branch| alteration::Layer {
        block: "base_model.layer1.0".to_owned(),
        branch,
        channels: 2,
        mean: 0.0,
        mean_size: 0.1,
        quantiles: values,
    };
    Alterations {
        layers: vec![layer(4), layer(16)],
    }
}

/// Every kind of figure, with `text` wherever a person's text goes and `values` wherever numbers go.
fn all(text: &str, values: &[f64]) -> Vec<String> {
    let points: Vec<(usize, f64)> = (1..).zip(values.iter().copied()).collect();
    let lines = [
        line(text, Kind::Vanilla, 1, &points),
        line(text, Kind::Other, 3, &points),
    ];
    let records: Vec<Record> = (0..)
        .zip(values)
        .map(|(i, &v)| record(i, i / 2, v))
        .collect();
    let curve: Vec<(f64, f64)> = values.iter().map(|&v| (v, v)).collect();
    let norms: Vec<(f64, f64, f64)> = values.iter().map(|&v| (v, v, v)).collect();
    let speed = (1..).zip(values).map(|(steps, &v)| Speed {
        steps,
        clips_per_second: v,
        waited: v,
    });
    let speed: Vec<Speed> = speed.collect();
    let series = series(values);
    let mut quantiles = [0.0; 7];
    quantiles.iter_mut().zip(values).for_each(|(q, &v)| *q = v);
    vec![
        deviation_curve(&Deviation {
            dataset: text,
            ..deviation("a", &lines)
        }),
        accuracy_against_gflops(&deviation("b", &lines)),
        training_curves(&Training {
            id: "c",
            label: text,
            seeds: &[by_epoch(&records, 2), by_epoch(&records, 2)],
            steps: records.len() as u64,
            means_over: "the steps of each epoch",
            batch: 16,
        }),
        validation_curves("g", &BTreeMap::from([(4, curve.clone())])),
        optimisation_curves("h", &norms),
        speed_curves("i", &speed),
        drift_by_layer(&Drift {
            id: "d",
            clips: 10,
            series: &[(text.to_owned(), &series)],
        }),
        confusion_matrix(
            "e",
            &[text.to_owned(), "right".to_owned()],
            &Matrix {
                frames: 4,
                branch: 16,
                counts: vec![vec![3, 1], vec![0, 4]],
            },
        ),
        alteration_values("f", &alterations(quantiles)),
    ]
}

/// Fails unless tags are balanced, attributes quoted, signs escaped and numbers finite; gives the ids.
fn check(svg: &str) -> BTreeSet<String> {
    let (mut open, mut ids) = (Vec::new(), BTreeSet::new());
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        text_is_escaped(&rest[..start]);
        let end = rest.find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        let (name, attributes) = tag
            .split_once(' ')
            .unwrap_or((tag.trim_end_matches('/'), ""));
        let parts: Vec<&str> = attributes.trim_end_matches('/').split('"').collect();
        assert_eq!(parts.len() % 2, 1, "{tag}");
        for pair in parts.chunks_exact(2) {
            let attribute = pair[0].trim().strip_suffix('=').expect(tag);
            text_is_escaped(pair[1]);
            if attribute == "id" {
                assert!(ids.insert(pair[1].to_owned()), "id {} twice", pair[1]);
            }
            if [
                "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height",
            ]
            .contains(&attribute)
            {
                assert!(pair[1].parse::<f64>().unwrap().is_finite(), "{tag}");
            }
        }
        if !tag.ends_with('/') {
            open.push(name.to_owned());
        }
    }
    assert_eq!(open, [""; 0]);
    for wrong in ["NaN", "inf,", ",inf", "\"inf"] {
        assert!(!svg.contains(wrong), "{wrong}");
    }
    ids
}

fn text_is_escaped(text: &str) {
    let entities = ["amp;", "lt;", "gt;", "quot;", "apos;", "#123;", "#125;"];
    for after in text.split('&').skip(1) {
        assert!(
            entities.iter().any(|entity| after.starts_with(entity)),
            "&{after}"
        );
    }
    assert!(
        text.chars().all(|c| !c.is_control() || c == '\n'),
        "{text:?}"
    );
}

#[test]
fn a_small_figure_looks_as_before() {
    let lines = [line("TSM", Kind::Vanilla, 1, &[(4, 45.0), (16, 87.5)])];
    insta::assert_snapshot!(deviation_curve(&deviation("small", &lines)));
}

#[test]
fn figures_in_one_page_share_no_id() {
    let ids: Vec<BTreeSet<String>> = all("a", &[1.0, 2.0]).iter().map(|svg| check(svg)).collect();
    let count: usize = ids.iter().map(BTreeSet::len).sum();
    assert_eq!(
        ids.into_iter().flatten().collect::<BTreeSet<_>>().len(),
        count
    );
}

#[test]
fn figures_without_data_are_whole() {
    all("", &[]).iter().for_each(|svg| drop(check(svg)));
    check(&deviation_curve(&deviation("a", &[])));
    check(&drift_by_layer(&Drift {
        id: "d",
        clips: 0,
        series: &[],
    }));
    check(&alteration_values("v", &Alterations { layers: Vec::new() }));
    let matrix = Matrix {
        frames: 4,
        branch: 4,
        counts: Vec::new(),
    };
    check(&confusion_matrix("c", &[], &matrix));
}

#[test]
fn many_classes_and_many_norms_fit() {
    let classes: Vec<String> = (0..174).map(|class| format!("class {class}")).collect();
    let row = |label: usize| (0..174).map(|p| usize::from(p == label) * 3).collect();
    let matrix = Matrix {
        frames: 16,
        branch: 16,
        counts: (0..174).map(row).collect(),
    };
    let svg = confusion_matrix("c", &classes, &matrix);
    check(&svg);
    assert!(
        !svg.contains("class 100"),
        "names of so many classes are left out"
    );
}

proptest! {
    #[test]
    fn any_text_and_any_numbers_give_whole_figures(
        text in any::<String>(),
        values in prop::collection::vec(any::<f64>(), 0..12),
    ) {
        all(&text, &values).iter().for_each(|svg| drop(check(svg)));
    }

    #[test]
    fn places_stay_on_the_scale_and_keep_their_order(
        (low, high) in (-1e300f64..1e300, -1e300f64..1e300), a: f64, b: f64,
    ) {
        let scale = scale::Scale::new((low.min(high), low.max(high)), (10.0, 20.0));
        let (x, y) = (scale.place(a), scale.place(b));
        prop_assert!((10.0..=20.0).contains(&x) && (10.0..=20.0).contains(&y));
        prop_assert!(a.is_nan() || b.is_nan() || (a <= b) == (x <= y) || x == y);
        for (value, text) in scale.ticks(5) {
            prop_assert!(value.is_finite() && !text.is_empty());
        }
        prop_assert!(scale.ticks(5).len() <= 12);
    }
}

#[test]
fn ticks_are_round_and_written_shortly() {
    let texts = |low, high| {
        let ticks = scale::Scale::new((low, high), (0.0, 1.0)).ticks(5);
        ticks.into_iter().map(|(_, text)| text).collect::<Vec<_>>()
    };
    assert_eq!(texts(0.0, 100.0), ["0", "20", "40", "60", "80", "100"]);
    assert_eq!(texts(-0.11, 0.19), ["−0.1", "0.0", "0.1"]);
    assert_eq!(texts(0.0, 0.07), ["0.00", "0.02", "0.04", "0.06"]);
    assert_eq!(texts(0.0, 65.0), ["0", "20", "40", "60"]);
}
