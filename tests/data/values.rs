//! Clips that no bytes can hold: other rules of resizing, erased boxes, mixtures; several clips of one video.

use super::*;

/// What UniFormer's recipe does with clips.
fn everything() -> (Arc<Dataset>, Experiment) {
    let (dataset, mut experiment) = shared();
    let train = &mut experiment.train;
    train.smoothing = 0.1;
    train.mixing = Some(spec::Mixing {
        probability: 1.0,
        mixup: 0.8,
        cutmix: 1.0,
        cutmix_probability: 0.5,
        group: Some(3),
    });
    let clips = &mut train.clips;
    clips.repeats = 2;
    clips.channels = spec::Channels::Bgr;
    clips.resize = spec::Resize::Torch;
    clips.sampling = spec::TrainSampling::SegmentInclusive;
    clips.branches = BranchFrames::Independent;
    clips.rand_augment = Some(spec::RandAugment {
        operations: 4,
        magnitude: 7.0,
        std: 0.5,
        probability: 0.5,
    });
    clips.crop = spec::TrainCrop::RandomResized {
        area: [0.08, 1.0],
        aspect: [0.75, 1.3333],
    };
    clips.erasing = Some(spec::Erasing {
        probability: 0.5,
        area: [0.02, 1.0 / 3.0],
        aspect: [0.3, 1.0 / 0.3],
    });
    (dataset, experiment)
}

fn values(pixels: &Pixels) -> &[f32] {
    match pixels {
        Pixels::Values(values) => values,
        Pixels::Bytes(_) => panic!("values were expected"),
    }
}

#[test]
fn mixed_batches_do_not_depend_on_workers_or_the_first_step() {
    let (dataset, experiment) = everything();
    let all = train(&dataset, &experiment, 1, 0);
    // Sixteen videos, two clips of each, six clips a step.
    assert_eq!(all.len(), 3 * (2 * 16 / 6));
    assert!(train(&dataset, &experiment, 4, 0) == all);
    assert!(train(&dataset, &experiment, 2, 4) == all[4..]);
    for batch in &all {
        assert_eq!(values(&batch.pixels).len(), 6 * (4 + 8) * 32 * 32 * 3);
        assert!(values(&batch.pixels).iter().all(|value| value.is_finite()));
        // Both clips of a video stand side by side.
        assert!(batch.ids.chunks(2).all(|pair| pair[0] == pair[1]));
        for row in batch.targets.as_ref().unwrap().chunks(8) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }
}

/// Without mixing the same clips, of which no pixel belongs to another.
#[test]
fn what_is_not_mixed_is_labelled() {
    let (dataset, mut experiment) = everything();
    experiment.train.mixing = None;
    experiment.train.smoothing = 0.0;
    for batch in train(&dataset, &experiment, 2, 0) {
        assert_eq!(batch.targets, None);
        let clip = 4 * 32 * 32 * 3;
        let clips: Vec<&[f32]> = values(&batch.pixels).chunks(clip).take(6).collect();
        assert!(
            clips.chunks(2).all(|pair| pair[0] != pair[1]),
            "augmented alike"
        );
    }
}

/// Of the same bytes the values are those that an engine makes of them, whatever else made values necessary.
#[test]
fn values_are_normalised_bytes_where_nothing_else_is_done() {
    let (dataset, mut experiment) = shared();
    let of_bytes = train(&dataset, &experiment, 2, 0);
    experiment.train.clips.erasing = Some(spec::Erasing {
        probability: 0.0,
        area: [0.1, 0.2],
        aspect: [1.0, 1.0],
    });
    let of_values = train(&dataset, &experiment, 2, 0);
    let normalize = &experiment.train.clips.normalize;
    for (a, b) in of_bytes.iter().zip(&of_values) {
        let mut expected = vec![0.0; a.pixels.len()];
        ffn::data::normalize::normalize_into(bytes(&a.pixels), normalize, &mut expected);
        // Erasing draws nothing here but whether it erases: u = 0 is the one chance in 2^53.
        assert!(values(&b.pixels) == expected);
    }
}

/// Red and blue change places, and nothing else, where no augmentation sees colours.
#[test]
fn channels_are_exchanged() {
    let (dataset, mut experiment) = shared();
    let rgb = evaluate(&dataset, &experiment, &[4], 2);
    experiment.eval.channels = Some(spec::Channels::Bgr);
    let bgr = evaluate(&dataset, &experiment, &[4], 2);
    for (rgb, bgr) in rgb.iter().zip(&bgr) {
        let mut exchanged = bytes(&rgb.pixels[0]).to_vec();
        ffn::data::transform::exchange_channels(&mut exchanged);
        assert!(bytes(&bgr.pixels[0]) == exchanged);
    }
}

#[test]
fn left_crops_are_the_first_of_three() {
    let (dataset, mut experiment) = shared();
    experiment.eval.crops = Crops::LeftCentreRight;
    let three = evaluate(&dataset, &experiment, &[4], 2);
    assert_eq!((three[0].views, three[0].size), (3, 32));
    experiment.eval.crops = Crops::Left;
    let left = evaluate(&dataset, &experiment, &[4], 2);
    let first = |batches: &[EvalBatch]| bytes(&batches[0].pixels[0])[..4 * 32 * 32 * 3].to_vec();
    assert!(first(&left) == first(&three));
}

#[test]
fn a_step_is_shown_mixed_with_its_targets() {
    let place = Place::new();
    let show = |flags: &[&str]| {
        let settings = [
            "--set",
            "train.mixing=(cutmix_probability: 0)",
            "--set",
            "train.smoothing=0.1",
        ];
        place.ffn(
            &[
                &["show", "small.ron", "--out", "sheets"],
                &settings[..],
                flags,
            ]
            .concat(),
        )
    };
    let (code, text) = show(&["--step", "1", "--raw"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(text.lines().count(), 6);
    assert!(
        text.lines()
            .all(|line| line.contains("0.0125 of each other class")),
        "{text}"
    );
    assert_eq!(
        fs::read_dir(place.path("sheets/step-1")).unwrap().count(),
        12
    );
    assert_eq!(show(&["--step", "99"]).0, 4);
    assert_eq!(show(&["--step", "1", "--epoch", "1"]).0, 2);
}
