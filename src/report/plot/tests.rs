//! Every figure on small data: whole XML, one id space, the same picture as before.

use super::*;
use crate::analysis::alteration::{Alterations, Layer};
use crate::analysis::drift::{self, Series};
use crate::analysis::predictions::Matrix;

fn lines() -> Vec<Line> {
    let accuracy = |frames: usize, top1: f64| Accuracy {
        frames,
        gflops: 0.03 * frames as f64,
        top1,
        range: (top1 - 5.0, (top1 + 5.0).min(100.0)),
    };
    let line = |label: &str, kind, top1: [f64; 3]| Line {
        label: label.to_owned(),
        kind,
        seeds: 1,
        points: [4, 8, 16]
            .into_iter()
            .zip(top1)
            .map(|(t, v)| accuracy(t, v))
            .collect(),
    };
    vec![
        line("TSM, 16 frames", Kind::Vanilla, [45.94, 79.06, 87.5]),
        line("FFN 4, 8, 16", Kind::Flexible, [87.19, 91.25, 90.62]),
    ]
}

fn deviation(id: &str) -> String {
    deviation_curve(&Deviation {
        id,
        dataset: "miniature",
        clips: 320,
        lines: &lines(),
        paper: Some(&paper::SSV2),
    })
}

#[test]
fn the_deviation_curve_is_whole() {
    let svg = deviation("a");
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert!(svg.contains("paper: SSv2") && !svg.contains("NaN"));
}

#[test]
fn drift_confusion_and_alteration_are_whole() {
    let series = Series {
        frames: 4,
        branch: 16,
        layers: vec![drift::Layer {
            name: "bn1".to_owned(),
            channels: 8,
            shift: 0.1,
            scale: 0.2,
            divergence: 0.3,
        }],
    };
    let figures = [
        drift_by_layer(&Drift {
            id: "d",
            clips: 10,
            series: &[("4 frames".to_owned(), &series)],
        }),
        confusion_matrix(
            "c",
            &["<left>".to_owned(), "right".to_owned()],
            &Matrix {
                frames: 4,
                branch: 16,
                counts: vec![vec![3, 1], vec![0, 4]],
            },
        ),
        alteration_values(
            "v",
            &Alterations {
                layers: vec![Layer {
                    block: "base_model.layer1.0".to_owned(),
                    branch: 4,
                    channels: 2,
                    mean: 0.0,
                    mean_size: 0.1,
                    quantiles: [-0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2],
                }],
            },
        ),
    ];
    for svg in figures {
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("<left>"));
    }
}
