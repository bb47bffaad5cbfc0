//! Every bundle of the repository agrees with the compiled engine, and some with the dfdx engine.

use ffn::exec::{EngineKind, Executor, Fusions};
use ffn::golden::ModelBundle;

use crate::support::{Copy, golden};

fn executor(engine: EngineKind) -> Executor {
    Executor {
        engine,
        ..Executor::compiled(2)
    }
}

fn assert_agrees(name: &str) {
    assert_agrees_on(EngineKind::Compiled, name);
}

fn assert_agrees_on(engine: EngineKind, name: &str) {
    let executor = executor(engine);
    for bundle in ffn::golden::open(&[golden(name)]).unwrap() {
        let comparison = bundle.verify(executor).unwrap();
        assert!(comparison.passes(), "\n{comparison}");
    }
}

#[test]
fn tsm_r50_eval_agrees() {
    assert_agrees("tsm_r50_eval");
}

#[test]
fn ffn_r50_eval_agrees() {
    assert_agrees("ffn_r50_eval");
}

#[test]
fn ffn_r18_eval_agrees() {
    assert_agrees("ffn_r18_eval");
}

#[test]
fn tsm_r18_train_agrees() {
    assert_agrees("tsm_r18_train");
}

#[test]
fn ffn_r18_train_agrees() {
    assert_agrees("ffn_r18_train");
}

#[test]
fn ffn_r50_train_agrees() {
    assert_agrees("ffn_r50_train");
}

#[test]
fn slowfast_agrees() {
    for name in [
        "slowfast_r50_eval",
        "slowfast_r50_ffn_eval",
        "slowfast_r50_windows_eval",
        "slowfast_r50_train",
        "slowfast_r50_ffn_train",
    ] {
        assert_agrees(name);
    }
}

#[test]
fn uniformer_agrees() {
    for name in [
        "uniformer_s_eval",
        "ffn_uniformer_s_eval",
        "uniformer_s_train",
        "ffn_uniformer_s_train",
        "ffn_uniformer_s_train_soft",
    ] {
        assert_agrees(name);
    }
}

#[test]
fn tea_eval_agrees() {
    assert_agrees("tea_eval");
    assert_agrees("tea_ffn_eval");
}

#[test]
fn tea_train_agrees() {
    assert_agrees("tea_train");
}

#[test]
fn tea_ffn_train_agrees() {
    assert_agrees("tea_ffn_train");
}

/// Temporal operations across clips, as the official code has them after a validation on one GPU.
#[test]
fn tea_ffn_train_shared16_agrees() {
    assert_agrees("tea_ffn_train_shared16");
}

/// The plain program.
#[test]
fn agrees_without_fusions() {
    let executor = Executor {
        fusions: Fusions::NONE,
        ..executor(EngineKind::Compiled)
    };
    for name in ["ffn_r18_eval", "ffn_r18_train", "tea_ffn_eval", "tea_train"] {
        for bundle in ffn::golden::open(&[golden(name)]).unwrap() {
            let comparison = bundle.verify(executor).unwrap();
            assert!(comparison.passes(), "\n{comparison}");
        }
    }
}

#[test]
fn ffn_r18_eval_agrees_on_the_dfdx_engine() {
    assert_agrees_on(EngineKind::Dfdx, "ffn_r18_eval");
}

#[test]
fn tsm_r18_train_agrees_on_the_dfdx_engine_in_float64() {
    assert_agrees_on(EngineKind::DfdxF64, "tsm_r18_train");
}

/// In bf16 within a multiple of what PyTorch's mixed precision strays on the same case.
#[test]
fn evaluation_agrees_in_bf16() {
    for name in ["ffn_r18_eval", "ffn_r50_eval", "tsm_r50_eval"] {
        assert_agrees_on(EngineKind::CompiledBf16, name);
        assert_agrees_on(EngineKind::CompiledAmx, name);
    }
}

#[test]
fn training_agrees_in_bf16() {
    for name in ["ffn_r18_train", "ffn_r50_train", "tsm_r18_train"] {
        assert_agrees_on(EngineKind::CompiledBf16, name);
        assert_agrees_on(EngineKind::CompiledAmx, name);
    }
}

#[test]
fn preprocessing_agrees() {
    assert_agrees("preprocess");
    assert_agrees("preprocess_slowfast");
    assert_agrees("preprocess_uniformer");
}

#[test]
fn official_names_agree() {
    assert_agrees("state_dict_names.json");
    assert_agrees("state_dict_names_tea.json");
    assert_agrees("state_dict_names_slowfast.json");
    assert_agrees("state_dict_names_uniformer.json");
}

/// No reference has such images: the engines are held against each other.
#[test]
fn images_need_not_be_square() {
    let copy = Copy::of("ffn_r18_eval");
    copy.edit_case("\"width\": 64", "\"width\": 48");
    let bundle = ModelBundle::open(copy.folder.path()).unwrap();
    let computed = |engine| bundle.compute(executor(engine)).unwrap();
    let found = computed(EngineKind::Compiled);
    let expected = computed(EngineKind::DfdxF64);
    assert_eq!(found.len(), expected.len());
    for (name, tensor) in &expected {
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
        let apart = tensor.values.iter().zip(&found[name].values);
        let error = square(&mut apart.map(|(e, f)| e - f));
        let size = square(&mut tensor.values.iter().copied());
        assert!(
            error.sqrt() < 2e-6 * size.sqrt(),
            "{name}: {error:e} of {size:e}"
        );
    }
}
