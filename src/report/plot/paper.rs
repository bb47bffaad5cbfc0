//! The paper's own results, for drawing beside ours. They are of a larger network (ResNet-50) and mostly of other data.
//!
//! Zhang et al., "Frame Flexible Network", CVPR 2023, arXiv 2303.14817; the README of the official code has the same
//! numbers. The suites `sthv1`, `sthv2` and `k400` claim them.

use crate::spec::{Backbone, Data, Experiment};

/// One data set's results: top-1 in percent at each frame count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Table {
    /// As experiments name the data's root folder.
    pub root: &'static str,
    pub dataset: &'static str,
    /// Where there is little room.
    pub short: &'static str,
    pub classes: usize,
    /// Validation clips; of Kinetics every copy has others.
    pub clips: Option<usize>,
    pub frames: [usize; 3],
    /// 10⁹ multiply-adds of one view of a clip: those of our graph of TSM-ResNet-50 at 224 × 224.
    pub gflops: [f64; 3],
    /// TSM trained at the largest frame count.
    pub vanilla: [f64; 3],
    /// One TSM trained for each frame count.
    pub separate: [f64; 3],
    pub flexible: [f64; 3],
}

/// Where the numbers were published.
pub const SOURCE: &str = "Zhang et al. 2023";

pub const SSV2: Table = Table {
    root: "sthv2",
    dataset: "Something-Something V2",
    short: "SSv2",
    classes: 174,
    clips: Some(24_777),
    frames: [4, 8, 16],
    gflops: [16.35, 32.70, 65.40],
    vanilla: [31.52, 51.55, 61.02],
    separate: [53.38, 59.29, 61.02],
    flexible: [56.07, 61.86, 63.61],
};

const SSV1: Table = Table {
    root: "sthv1",
    dataset: "Something-Something V1",
    short: "SSv1",
    clips: Some(11_522),
    vanilla: [20.60, 37.36, 48.55],
    separate: [39.71, 45.63, 48.55],
    flexible: [42.85, 48.20, 50.79],
    ..SSV2
};

const KINETICS: Table = Table {
    root: "k400",
    dataset: "Kinetics-400",
    short: "Kinetics-400",
    classes: 400,
    clips: None,
    gflops: [16.35, 32.70, 65.41],
    vanilla: [64.10, 69.77, 73.16],
    separate: [66.25, 70.38, 73.16],
    flexible: [68.96, 72.33, 74.35],
    ..SSV2
};

/// What is drawn beside an experiment's results: the paper's of the same network, classes and data; beside the miniature, which is
/// made to show the same effect, those on Something-Something V2; beside anything else nothing.
pub fn beside(experiment: &Experiment) -> Option<&'static Table> {
    if matches!(experiment.data, Data::Miniature(_)) {
        return Some(&SSV2);
    }
    let is_paper = experiment.model.tsm()?.backbone == Backbone::ResNet50;
    let table = [&SSV2, &SSV1, &KINETICS]
        .into_iter()
        .find(|table| table.root == experiment.data.root_name())?;
    (is_paper && experiment.data.class_count() == table.classes).then_some(table)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::graph::Graph;
    use crate::spec::suite::{Bound, Quantity};
    use crate::spec::{self, Document, Settings};

    #[test]
    fn other_classes_another_network_and_other_data_have_no_paper() {
        let path = Path::new("experiments/tsm_sthv2.ron");
        let with = |setting: &str| {
            let settings = Settings::parse(&[setting.to_owned()]).unwrap();
            beside(&spec::load_with(path, &settings).unwrap().experiment).is_some()
        };
        assert!(with("seed=2"));
        assert!(!with("data.class_count=10"));
        assert!(!with("model=Tsm(backbone: ResNet18)"));
        assert!(!with("data.root=\"mine\""));
    }

    /// The curves are the claims of the suite of the same data set, and the operations those of its members.
    #[test]
    fn curves_are_the_claims_of_the_suites() {
        for root in ["sthv1", "sthv2", "k400"] {
            let Ok(Document::Suite(loaded)) =
                spec::load_document(Path::new(&format!("experiments/{root}.ron")))
            else {
                panic!("{root} is a suite");
            };
            let suite = loaded.suite;
            let table = beside(&suite.member("tsm").unwrap().experiment).unwrap();
            assert_eq!(table.root, root);
            let mut claimed = 0;
            for claim in &suite.claims {
                let (Quantity::Top1 { run, frames }, Bound::About { value, .. }) =
                    (&claim.quantity, claim.is)
                else {
                    continue;
                };
                let curve = match run.as_str() {
                    "tsm" => table.vanilla,
                    "ffn" => table.flexible,
                    _ => table.separate,
                };
                let place = table
                    .frames
                    .iter()
                    .position(|known| known == frames)
                    .unwrap();
                assert_eq!(curve[place], value, "{root} {}", claim.id);
                claimed += 1;
            }
            assert_eq!(claimed, 8, "{root}");
            let graph = Graph::build(&suite.member("tsm").unwrap().experiment, (224, 224)).unwrap();
            for (frames, drawn) in table.frames.iter().zip(table.gflops) {
                let counted = graph.clip_multiply_adds(*frames) as f64 / 1e9;
                assert!(
                    (counted - drawn).abs() < 0.0051,
                    "{root} {frames}: {counted}"
                );
            }
        }
    }
}
