//! `ffn plan` as a person sees it. Nothing is allocated: the sthv2 programs would fill a server.

use std::process::Command;

fn plan(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ffn"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("plan")
        .args(arguments)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn tiny_layers_and_groups() {
    let file = "fixtures/experiments/tiny.ron";
    insta::assert_snapshot!(plan(&[file, "--layers", "--groups"]));
}

/// Every shipped experiment can be planned.
#[test]
fn shipped() {
    for entry in std::fs::read_dir("experiments").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ron") {
            let text = plan(&[&path.to_string_lossy()]);
            assert!(text.contains("\ntraining: "), "{text}");
        }
    }
}

#[test]
fn something_v2() {
    insta::assert_snapshot!(plan(&["experiments/ffn_tsm_sthv2.ron"]));
}

#[test]
fn something_v2_groups_of_official_code() {
    let text = plan(&["experiments/ffn_tsm_sthv2_official.ron", "--groups"]);
    let wanted = ["base_model.conv1", "layer1.0.bn1_4", "adaconv_4", "new_fc"];
    let lines = text
        .lines()
        .filter(|line| wanted.iter().any(|name| line.contains(name)));
    insta::assert_snapshot!(lines.take(12).collect::<Vec<_>>().join("\n"));
}

#[test]
fn json_has_everything() {
    let text = plan(&["experiments/tsm_sthv2_8f.ron", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(plan["parameter_count"], 23_864_558);
    assert_eq!(plan["groups"].as_array().unwrap().len(), 161);
    assert!(plan["layers"].as_array().unwrap().len() > 161);
}
