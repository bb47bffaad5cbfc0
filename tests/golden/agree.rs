//! Every bundle of the repository agrees with the compiled engine, and some with the dfdx engine.

use ffn::exec::{EngineKind, Executor};

use crate::support::golden;

fn assert_agrees(name: &str) {
    assert_agrees_on(EngineKind::Compiled, name);
}

fn assert_agrees_on(engine: EngineKind, name: &str) {
    let executor = Executor {
        engine,
        ..Executor::compiled(2)
    };
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
}

#[test]
fn official_names_agree() {
    assert_agrees("state_dict_names.json");
}
