//! Documents that are damaged, stale or half written.

use std::time::{Duration, Instant};

use crate::support::*;

#[test]
fn a_damaged_document_is_noticed_and_made_again() {
    let run = Run::new();
    expect(&run.analyse(&["--clips", "8"]), 0);
    let whole = run.analyses();
    for name in ["drift", "surface", "flips", "alteration"] {
        let path = run.join(&format!("analysis/{name}.json"));
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let verified = ffn(&["verify", &run.path()]);
        expect(&verified, 1);
        assert!(
            stderr(&verified).contains(&format!("{name}.json")),
            "{}",
            stderr(&verified)
        );
    }
    // A damaged analysis is no damage of the run: it is computed again from what is intact.
    for name in ["drift", "surface", "flips", "alteration"] {
        std::fs::remove_file(run.join(&format!("analysis/{name}.json"))).unwrap();
    }
    expect(&run.analyse(&["--clips", "8"]), 0);
    assert_eq!(run.analyses(), whole);
}

#[test]
fn more_predictions_make_their_analyses_stale() {
    let run = Run::new();
    expect(&run.analyse(&["--clips", "8"]), 0);
    let froms = |run: &Run| {
        let flips = run.document("flips");
        let pairs = flips["content"]["pairs"].as_array().unwrap().clone();
        pairs.iter().map(|p| p["from"].as_u64().unwrap()).max()
    };
    assert_eq!(froms(&run), Some(4));
    expect(&ffn(&["eval", &run.path(), "--frames", "6", "--save"]), 0);
    expect(&run.analyse(&[]), 0);
    assert_eq!(froms(&run), Some(6));
    assert_eq!(
        run.document("drift")["content"]["clips"],
        8,
        "it stays as it was"
    );
}

#[test]
fn a_kill_leaves_whole_documents_and_the_next_call_goes_on() {
    let (run, undisturbed) = (Run::new(), Run::new());
    expect(&undisturbed.analyse(&["--clips", "8"]), 0);
    let mut child = command(&["analyse", &run.path(), "--clips", "8"])
        .spawn()
        .unwrap();
    let limit = Instant::now() + Duration::from_secs(60);
    while !run.join("analysis/surface.json").exists() && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < limit, "no surface within a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = child.kill();
    child.wait().unwrap();
    expect(&run.analyse(&["--clips", "8"]), 0);
    assert_eq!(run.analyses(), undisturbed.analyses());
}

#[test]
fn the_control_begins_with_what_the_evaluation_found() {
    let run = Run::new();
    expect(&run.analyse(&[]), 0);
    let precise = run.document("precise_bn");
    let surface = run.document("surface");
    let mut compared = 0;
    for point in precise["content"]["points"].as_array().unwrap() {
        let same = |p: &&serde_json::Value| {
            p["frames"] == point["frames"] && p["branch"] == point["branch"]
        };
        let points = surface["content"]["points"].as_array().unwrap();
        let other = points.iter().find(same).unwrap();
        assert_eq!(point["before"]["top1"], other["top1"]);
        assert_eq!(point["before"]["loss"], other["loss"]);
        assert_ne!(
            point["after"]["loss"], other["loss"],
            "other statistics, another loss"
        );
        compared += 1;
    }
    // 2 by 2 and by 4, 3 by 4, 4 by 4.
    assert_eq!(compared, 4);
}
