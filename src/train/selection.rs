//! What evaluations between epochs decide: when training ends (`train.stop`). Which weights are kept is in [`crate::run::best`].

use crate::base::count;
use crate::run::results::Summary;
use crate::spec::EarlyStopping;

/// Why training ends after the last of these evaluations, in their order; `None`: it goes on. Nothing but their results decides, so a run
/// that was killed decides the same.
pub fn ends(rule: &EarlyStopping, evaluations: &[Vec<Summary>]) -> Option<String> {
    let mut best: Option<f64> = None;
    let mut since = 0;
    for summaries in evaluations {
        let Some(summary) = summaries.iter().find(|s| s.frames == rule.frames) else {
            continue;
        };
        let top1 = summary.top1_percent();
        if best.is_none_or(|best| top1 > best + rule.least) {
            (best, since) = (Some(top1), 0);
        } else {
            since += 1;
        }
    }
    (since >= rule.patience).then(|| {
        format!(
            "top-1 at {} frames has not risen above {:.2} % by more than {} points in {}",
            rule.frames,
            best.unwrap_or_default(),
            rule.least,
            count(since, "evaluation"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluations(top1: &[usize]) -> Vec<Vec<Summary>> {
        let summary = |&top1: &usize| Summary {
            frames: 4,
            branch: 4,
            step: 0,
            clips: 100,
            views: 1,
            top1,
            top5: 100,
            loss: 1.0,
            classes: Default::default(),
            pinned: true,
            left_out: 0,
            predictions_sha256: String::new(),
        };
        top1.iter().map(|top1| vec![summary(top1)]).collect()
    }

    #[test]
    fn training_ends_after_evaluations_without_a_rise() {
        let rule = |patience, least| EarlyStopping {
            frames: 4,
            patience,
            least,
        };
        let ends = |rule, top1: &[usize]| ends(&rule, &evaluations(top1)).is_some();
        assert!(!ends(rule(2, 0.0), &[]));
        assert!(!ends(rule(2, 0.0), &[10, 20, 20]));
        assert!(ends(rule(2, 0.0), &[10, 20, 20, 19]));
        assert!(!ends(rule(2, 0.0), &[10, 20, 19, 21]));
        // A rise of no more than what is asked for is none.
        assert!(ends(rule(2, 5.0), &[10, 14, 15]));
        assert!(!ends(rule(2, 5.0), &[10, 14, 16]));
        let reason = super::ends(&rule(1, 0.5), &evaluations(&[30, 30])).unwrap();
        assert_eq!(
            reason,
            "top-1 at 4 frames has not risen above 30.00 % by more than 0.5 points in 1 evaluation"
        );
    }
}
