//! Run folders that are linked, moved, changed or misnamed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use crate::support::*;

fn resume(place: &Place, out: &str) -> Output {
    run(&["run", TINY, "--out", &place.text(out)])
}

/// The run as one that is not finished yet.
fn unfinish(run: &Path) {
    reseal(&run.join("manifest.json"), |text| {
        text.replace("\"finished\": true", "\"finished\": false")
    });
}

#[test]
fn nothing_is_written_or_removed_through_links() {
    for name in [
        "lock",
        "metrics.jsonl",
        "log.txt",
        "timing.jsonl",
        "manifest.json",
        "history.json",
        "classes.json",
    ] {
        let place = Place::new();
        let folder = place.begun("r");
        let victim = place.write("victim", "precious");
        let _ = fs::remove_file(folder.join(name));
        symlink(&victim, folder.join(name)).unwrap();
        let output = resume(&place, "r");
        assert_ne!(output.status.code(), Some(0), "{name}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious", "{name}");
    }
}

#[test]
fn linked_folders_keep_what_is_in_them() {
    let place = Place::new();
    let folder = place.finished("r");
    unfinish(&folder);
    let elsewhere = place.path("elsewhere");
    fs::rename(folder.join("checkpoints"), &elsewhere).unwrap();
    place.write("elsewhere/step-00000001/photos/a", "p");
    place.write("elsewhere/.tmp-mine/b", "p");
    symlink(&elsewhere, folder.join("checkpoints")).unwrap();
    let output = resume(&place, "r");
    expect(&output, 5);
    says(&output, "`checkpoints` is a link");
    assert!(elsewhere.join("step-00000001/photos/a").exists());
    assert!(elsewhere.join(".tmp-mine/b").exists());
    // The same for a result that is kept.
    let output = run(&["eval", folder.to_str().unwrap(), "--frames", "2", "--save"]);
    assert_ne!(output.status.code(), Some(0));
    // A link to a whole run folder is somebody's other disk.
    fs::remove_file(folder.join("checkpoints")).unwrap();
    fs::remove_dir_all(elsewhere.join("step-00000001")).unwrap();
    fs::rename(&elsewhere, folder.join("checkpoints")).unwrap();
    let disk = place.path("disk");
    fs::rename(&folder, &disk).unwrap();
    symlink(&disk, &folder).unwrap();
    expect(&resume(&place, "r"), 0);
    expect(&run(&["verify", folder.to_str().unwrap()]), 0);
}

#[test]
fn a_checkpoint_under_another_name_is_none() {
    let place = Place::new();
    let folder = place.begun("r");
    let checkpoints = folder.join("checkpoints");
    let own = only_checkpoint(&folder);
    copy(&own, &checkpoints.join("step-00000090"));
    let output = resume(&place, "r");
    expect(&output, 0);
    says(&output, "under another name");
    expect(&run(&["verify", folder.to_str().unwrap()]), 0);
    expect(&resume(&place, "r"), 0);
    // Where it is the only one, nothing is taken and nothing is removed.
    let place = Place::new();
    let folder = place.begun("r");
    let checkpoints = folder.join("checkpoints");
    let own = only_checkpoint(&folder);
    fs::rename(&own, checkpoints.join("step-00000090")).unwrap();
    expect(&resume(&place, "r"), 5);
    assert!(checkpoints.join("step-00000090/state.json").exists());
}

#[test]
fn what_a_run_began_with_is_not_changed_under_it() {
    for name in ["classes.json", "experiment.ron"] {
        for change in ["changed", "removed"] {
            let place = Place::new();
            let folder = place.begun("r");
            let path = folder.join(name);
            let text = fs::read_to_string(&path).unwrap();
            match change {
                "changed" => fs::write(
                    &path,
                    text.replace("circle", "square").replace("tiny", "tony"),
                )
                .unwrap(),
                _ => fs::remove_file(&path).unwrap(),
            }
            let output = resume(&place, "r");
            assert_ne!(output.status.code(), Some(0), "{name} {change}");
            let manifest = fs::read_to_string(folder.join("manifest.json")).unwrap();
            assert!(manifest.contains("\"finished\": false"), "{name} {change}");
            // Brought back, it goes on.
            fs::write(&path, text).unwrap();
            expect(&resume(&place, "r"), 0);
            expect(&run(&["verify", folder.to_str().unwrap()]), 0);
        }
    }
}

/// Starts a long run, does something to its folder after its first step, and waits for its end.
fn disturbed(place: &Place, disturb: impl Fn(&Path) + Sync) -> Output {
    let long = place.experiment("long.ron", |text| text.replace("epochs: 4", "epochs: 3000"));
    let out = place.text("r");
    let command = limited(&["run", &long, "--out", &out, "--checkpoint-minutes", "0"]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let begun = std::time::Instant::now();
            while begun.elapsed().as_secs() < 50 {
                std::thread::sleep(std::time::Duration::from_millis(5));
                let Ok(mut folders) = fs::read_dir(&out) else {
                    continue;
                };
                let Some(Ok(folder)) = folders.next() else {
                    continue;
                };
                if fs::read_dir(folder.path().join("checkpoints")).is_ok_and(|c| c.count() > 1) {
                    return disturb(&folder.path());
                }
            }
        });
        within(std::time::Duration::from_secs(60), command)
    })
}

#[test]
fn a_folder_that_is_moved_away_keeps_what_was_done() {
    let place = Place::new();
    let moved = place.path("moved");
    let output = disturbed(&place, |folder| fs::rename(folder, &moved).unwrap());
    expect(&output, 5);
    says(&output, "was moved, removed or replaced");
    assert_eq!(
        fs::read_dir(place.path("r")).unwrap().count(),
        0,
        "nothing new at the old place"
    );
    let log = fs::read_to_string(moved.join("log.txt")).unwrap();
    assert!(log.contains("was moved, removed or replaced"), "{log}");
    expect(&run(&["verify", moved.to_str().unwrap()]), 0);
}

#[test]
fn a_folder_that_is_removed_does_not_come_back() {
    let place = Place::new();
    let output = disturbed(
        &place,
        |folder| while fs::remove_dir_all(folder).is_err() {},
    );
    // Some of it may be gone before the rest is.
    assert!(
        matches!(output.status.code(), Some(5 | 8)),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read_dir(place.path("r")).unwrap().count(), 0);
}
