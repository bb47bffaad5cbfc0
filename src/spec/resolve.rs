//! Defaults that follow from other fields, and one spelling for what has several. All other defaults stand where their
//! fields are declared.

use super::decode::Decoder;
use super::experiment::*;

/// The experiment with what its file, as `decoder` read it, leaves open.
pub fn resolve(mut experiment: Experiment, decoder: &Decoder) -> Experiment {
    spell(experiment.model.init_mut());
    if let Method::Ffn(ffn) = &mut experiment.method {
        let usual = match experiment.model {
            Model::Tsm(_) | Model::SlowFast(_) | Model::UniFormer(_) => {
                Alteration::Normal { std: 1e-3 }
            }
            // The official code of FFN on TEA has none.
            Model::Tea(_) => Alteration::Off,
        };
        settle("method.alteration", &mut ffn.alteration, usual, decoder);
    }
    match &mut experiment.optimizer {
        Optimizer::Sgd(sgd) => groups(&mut sgd.groups, decoder),
        Optimizer::AdamW(_) => {}
    }
    let clips = &mut experiment.train.clips;
    let path = "train.clips.crop.short_side";
    match &mut clips.crop {
        TrainCrop::Centre { short_side } => {
            settle(path, short_side, usual_short_side(clips.size), decoder);
        }
        TrainCrop::ScaleJitter { short_side, .. } => {
            let most = clips.size.saturating_mul(320) / 224;
            let usual = [usual_short_side(clips.size), most];
            settle(path, short_side, usual, decoder);
        }
        TrainCrop::MultiScale { .. } | TrainCrop::RandomResized { .. } => {}
    }
    eval(&mut experiment.eval, clips, decoder);
    experiment
}

/// Gives a field that the file leaves open its value.
fn settle<T>(path: &str, field: &mut T, value: T, decoder: &Decoder) {
    if !decoder.gives(path) {
        *field = value;
    }
}

fn spell(init: &mut Init) {
    if let Init::Pretrained {
        sha256: Some(hash), ..
    } = init
    {
        hash.make_ascii_lowercase();
    }
}

fn groups(groups: &mut Groups, decoder: &Decoder) {
    let conv = groups.conv;
    settle(
        "optimizer.groups.first_conv",
        &mut groups.first_conv,
        conv,
        decoder,
    );
    settle(
        "optimizer.groups.alteration",
        &mut groups.alteration,
        conv,
        decoder,
    );
}

fn eval(eval: &mut Eval, train: &TrainClips, decoder: &Decoder) {
    let (short_side, size) = ("eval.short_side", "eval.size");
    match eval.crops {
        // Three crops are as large as the shorter side.
        Crops::Three => {
            settle(
                short_side,
                &mut eval.short_side,
                usual_short_side(train.size),
                decoder,
            );
            settle(size, &mut eval.size, eval.short_side, decoder);
        }
        Crops::One | Crops::Left | Crops::LeftCentreRight | Crops::Ten => {
            settle(size, &mut eval.size, train.size, decoder);
            settle(
                short_side,
                &mut eval.short_side,
                usual_short_side(eval.size),
                decoder,
            );
        }
    }
    settle(
        "eval.short_videos",
        &mut eval.short_videos,
        train.short_videos,
        decoder,
    );
    settle(
        "eval.normalize",
        &mut eval.normalize,
        train.normalize,
        decoder,
    );
    as_in_training(&mut eval.channels, train.channels);
    as_in_training(&mut eval.resize, train.resize);
}

/// The rule of the training where the evaluation has none of its own. `None` is the one spelling of the usual rule where both
/// have it: experiments that are older than the field have their identity without it.
fn as_in_training<T: Copy + Default + PartialEq>(own: &mut Option<T>, training: T) {
    let rule = own.unwrap_or(training);
    let is_usual = [rule, training]
        .into_iter()
        .all(|rule| rule == T::default());
    *own = (!is_usual).then_some(rule);
}

/// The official resizing before a centre crop: 256 for 224.
fn usual_short_side(size: usize) -> usize {
    size.saturating_mul(256) / 224
}
