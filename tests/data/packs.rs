//! Packs and certificates, of whole data sets and of damaged ones.

use super::*;

/// A place whose data are pinned, and a pack of them in `pack`.
fn packed(flags: &[&str]) -> Place {
    let place = Place::new();
    assert_eq!(place.ffn(&["pin", "small.ron"]).0, 0);
    pack(&place, flags);
    place
}

/// What it says.
fn pack(place: &Place, flags: &[&str]) -> String {
    let (code, text) = place.ffn(&[&["pack", "small.ron", "--out", "pack"], flags].concat());
    assert_eq!(code, 0, "{text}");
    text
}

fn open_pack(place: &Place) -> ffn::base::Result<Dataset> {
    let pack = place.path("pack");
    open(&place.experiment(), place.folder.path(), &pack, false)
}

fn verify(place: &Place) -> (i32, String) {
    place.ffn(&["verify", "small.ron", "--data-root", "pack", "--full"])
}

#[test]
fn packs_without_loss_give_the_bytes_of_the_videos() {
    for flags in [&["--shard-mib", "1"][..], &["--frames", "png"]] {
        let place = packed(flags);
        let (experiment, videos) = (place.experiment(), Arc::new(place.open(false).unwrap()));
        let pack = Arc::new(open_pack(&place).unwrap());
        assert_eq!(pack.lost, None);
        assert!(train(&pack, &experiment, 2, 0) == train(&videos, &experiment, 2, 0));
        let frames = [4, 8];
        let evaluated = |data| evaluate(data, &experiment, &frames, 2);
        assert!(evaluated(&pack) == evaluated(&videos));
        assert_eq!(verify(&place).0, 0);
    }
}

/// Frame folders keep their files as they are.
#[test]
fn frame_folders_are_packed_as_they_are() {
    let place = frame_folders(&WALK, WALK_LIST);
    let root = place.path("data");
    assert_eq!(place.ffn(&["pin", "small.ron"]).0, 0);
    pack(&place, &["--frames", "original"]);
    let experiment = place.experiment();
    let [videos, pack] = [place.open(false), open_pack(&place)].map(|data| Arc::new(data.unwrap()));
    assert!(evaluate(&pack, &experiment, &[4], 1) == evaluate(&videos, &experiment, &[4], 1));
    let tar = fs::read(place.path("pack/shard-00000.tar")).unwrap();
    let image = fs::read(root.join("c/003.png")).unwrap();
    assert!(tar.windows(image.len()).any(|part| part == image));
}

/// What is lost is told, and a run of the videos does not go on with it.
#[test]
fn packs_with_loss_say_so() {
    let place = packed(&["--frames", "jpeg", "--quality", "90", "--short-side", "32"]);
    let lost = open_pack(&place).unwrap().lost.unwrap();
    assert!(
        lost.starts_with("JPEG of quality 90, a shorter side of 32 pixels, pack "),
        "{lost}"
    );
    let run = |root: &str| {
        place.output(&[
            "run",
            "small.ron",
            "--data-root",
            root,
            "--max-minutes",
            "0",
        ])
    };
    assert_eq!(run("data").status.code(), Some(75));
    let other = run("pack");
    let said = String::from_utf8(other.stderr).unwrap();
    assert_eq!(other.status.code(), Some(5), "{said}");
    assert!(said.contains("packed as JPEG of quality 90"), "{said}");
}

#[test]
fn a_run_goes_from_the_videos_to_a_pack_without_loss() {
    let place = packed(&[]);
    let run = |root: &str, out: &str, flags: &[&str]| {
        let arguments = ["run", "small.ron", "--data-root", root, "--out", out];
        place.output(&[&arguments, flags].concat()).status.code()
    };
    assert_eq!(run("data", "whole", &[]), Some(0));
    assert_eq!(run("data", "moved", &["--max-minutes", "0"]), Some(75));
    assert_eq!(run("pack", "moved", &[]), Some(0));
    let metrics = |out: &str| {
        let run = fs::read_dir(place.path(out))
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        fs::read(run.path().join("metrics.jsonl")).unwrap()
    };
    assert!(metrics("whole") == metrics("moved"));
}

#[test]
fn damaged_exchanged_and_stale_tar_files_are_refused() {
    let place = packed(&["--shard-mib", "1"]);
    let shard = |number: usize| place.path(&format!("pack/shard-{number:05}.tar"));
    assert!(shard(1).exists(), "more than one is needed");
    damage(&shard(0));
    let (code, text) = verify(&place);
    assert_eq!(code, 4);
    assert!(text.contains("videos that cannot be hashed (1):"), "{text}");
    assert!(
        text.contains("are not those that were packed: expected "),
        "{text}"
    );
    damage(&shard(0));
    assert_eq!(verify(&place).0, 0);

    // Exchanged.
    let aside = place.path("aside");
    for (from, to) in [
        (shard(0), &aside),
        (shard(1), &shard(0)),
        (aside.clone(), &shard(1)),
    ] {
        fs::rename(from, to).unwrap();
    }
    assert!(verify(&place).1.contains("are not those that were packed"));
    for (from, to) in [
        (shard(0), &aside),
        (shard(1), &shard(0)),
        (aside.clone(), &shard(1)),
    ] {
        fs::rename(from, to).unwrap();
    }

    // Cut off, and gone.
    let whole = fs::read(shard(1)).unwrap();
    fs::write(shard(1), &whole[..whole.len() / 2]).unwrap();
    assert!(verify(&place).1.contains("the file is cut off"));
    fs::remove_file(shard(1)).unwrap();
    let (code, text) = verify(&place);
    assert!(
        code == 4 && text.contains("`shard-00001.tar` of the pack is not there"),
        "{text}"
    );
    fs::write(shard(1), &whole).unwrap();

    // Stale: the videos that were packed are no more those of the pins.
    fs::copy(place.path("data/1.webm"), place.path("data/2.webm")).unwrap();
    assert_eq!(place.ffn(&["pin", "small.ron", "--update"]).0, 0);
    let (code, text) = verify(&place);
    assert!(
        code == 4 && text.contains("videos that differ (1):\n  2\n"),
        "{text}"
    );

    // An index that was edited.
    let index = place.path("pack/videos.jsonl");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replacen("\"id\":\"1\"", "\"id\":\"2\"", 1)).unwrap();
    assert!(
        verify(&place)
            .1
            .contains("`videos.jsonl` is not the one that was written")
    );
}

#[test]
fn a_pack_that_was_not_finished_is_none_and_is_written_anew() {
    let place = packed(&[]);
    fs::remove_file(place.path("pack/pack.json")).unwrap();
    let mark = "`ffn data pack` did not end here\n";
    fs::write(place.path("pack/unfinished"), mark).unwrap();
    let (code, text) = verify(&place);
    assert!(code == 4 && text.contains("is not finished"), "{text}");
    pack(&place, &[]);
    assert_eq!(verify(&place).0, 0);
    let (code, text) = place.ffn(&["pack", "small.ron", "--out", "pack"]);
    assert!(code == 2 && text.contains("is not empty"), "{text}");
    let (code, text) = place.ffn(&["pack", "small.ron", "--out", "data"]);
    assert!(code == 2 && text.contains("is not empty"), "{text}");
    assert!(place.path("data/1.webm").exists());
    // What only looks like an unfinished pack is left alone.
    for is_folder in [true, false] {
        let folder = place.path("precious");
        fs::create_dir_all(folder.join("unfinished")).unwrap();
        fs::write(folder.join("thesis.txt"), "keep").unwrap();
        if !is_folder {
            fs::remove_dir_all(folder.join("unfinished")).unwrap();
            fs::write(
                folder.join("unfinished"),
                "`ffn data pack` did not end here\n",
            )
            .unwrap();
        }
        let (code, text) = place.ffn(&["pack", "small.ron", "--out", "precious"]);
        assert!(code == 2 && text.contains("is not empty"), "{text}");
        assert_eq!(
            fs::read_to_string(folder.join("thesis.txt")).unwrap(),
            "keep"
        );
    }
}

/// A loss cannot be packed away, and a video that cannot be read is one.
#[test]
fn losses_are_kept_in_sight() {
    let place = packed(&["--frames", "jpeg"]);
    let again = ["pack", "small.ron", "--data-root", "pack", "--out", "again"];
    let (code, text) = place.ffn(&again);
    assert!(
        code == 2 && text.contains("the data are a pack already, of JPEG of quality 92"),
        "{text}"
    );
    let (code, text) = place.ffn(&["pack", "small.ron", "--out", "again", "--quality", "80"]);
    assert!(
        code == 2 && text.contains("nothing but JPEG has a quality"),
        "{text}"
    );
    let place = Place::skipping();
    fs::write(place.path("data/3.webm"), b"").unwrap();
    assert_eq!(place.ffn(&["pin", "small.ron"]).0, 0);
    let told = pack(&place, &["--shard-mib", "1"]);
    assert!(
        told.contains("1 video could not be read, and cannot be read from the pack:\n  3: "),
        "{told}"
    );
    let dataset = open_pack(&place).unwrap();
    assert!(
        dataset
            .lost
            .unwrap()
            .starts_with("no frame of 1 unreadable video, pack ")
    );
    assert_eq!(verify(&place).0, 0);
}

#[test]
fn certificates_say_where_two_copies_part() {
    let place = Place::skipping();
    let certify = |name: &str| {
        let (code, text) = place.ffn(&["certify", "small.ron", "--out", name]);
        assert_eq!(code, 0, "{text}");
    };
    certify("a.gz");
    certify("again.gz");
    let (code, text) = place.ffn(&["certify", "small.ron", "--out", "a.gz"]);
    assert!(code == 2 && text.contains("--force replaces it"), "{text}");
    assert!(fs::read(place.path("a.gz")).unwrap() == fs::read(place.path("again.gz")).unwrap());
    assert_eq!(place.ffn(&["compare", "a.gz", "again.gz"]).0, 0);

    fs::copy(place.path("data/1.webm"), place.path("data/2.webm")).unwrap();
    damage(&place.path("data/3.webm"));
    let odd = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/videos/odd.webm");
    fs::copy(odd, place.path("data/4.webm")).unwrap();
    certify("b.gz");
    let output = place.output(&["data", "compare", "a.gz", "b.gz"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let text: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with(['a', 'b']))
        .collect();
    insta::assert_snapshot!("compared", text.join("\n"));
    let output = place.output(&["data", "compare", "a.gz", "b.gz", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["differences"].as_array().unwrap().len(), 3);
    let (code, text) = place.ffn(&["compare", "a.gz", "small.ron"]);
    assert!(
        code == 4 && text.contains("expected `ffn certificate 1`"),
        "{text}"
    );
}

/// Videos of the miniature's format, with lists of paths.
#[test]
fn lists_of_videos_are_pinned_loaded_and_packed() {
    const TEXT: &str = r#"Experiment(
        name: "small",
        model: Tsm(backbone: ResNet(block: Basic, blocks: [1, 1], width: 8, stem: Small), init: Random),
        method: Vanilla(frames: 4),
        data: VideoList(
            root: "small", pins: "pins/small.pins.ron", lists: Text(train: "train.txt", validation: "val.txt"),
            class_count: 2, direction_sensitive: true, missing: Listed("lacking.txt"),
        ),
        train: (epochs: 1, batch: 2, clips: (crop: Centre(short_side: 40), flip: Off, size: 32)),
        optimizer: Sgd(lr: 0.01),
        schedule: (shape: Cosine(last: 0.01), step: Iteration),
        eval: (frames: [4], short_side: 40, size: 32, batch: 3),
    )"#;
    let place = Place {
        text: TEXT,
        ..Place::new()
    };
    let list = |name: &str, text: &str| fs::write(place.path(name), text).unwrap();
    list(
        "train.txt",
        "1.webm jump\n2.webm run\n3.webm run\ngone.mp4 run\n",
    );
    list("val.txt", "4.webm jump\n");
    list("lacking.txt", "");
    let (code, text) = place.ffn(&["pin", "small.ron"]);
    assert!(
        code == 4 && text.contains("missing videos (1):\n  gone.mp4"),
        "{text}"
    );
    let (code, text) = place.ffn(&["verify", "small.ron", "--write-missing", "lacking.txt"]);
    assert_eq!(
        (code, text.as_str()),
        (0, "1 of 5 videos are missing; `lacking.txt` names them\n")
    );
    assert_eq!(
        fs::read_to_string(place.path("lacking.txt")).unwrap(),
        "gone.mp4\n"
    );
    assert_eq!(place.ffn(&["pin", "small.ron"]).0, 0);
    let dataset = Arc::new(place.open(false).unwrap());
    assert_eq!((dataset.train.len(), dataset.classes.len()), (3, 2));
    let experiment = place.experiment();
    assert_eq!(train(&dataset, &experiment, 2, 0).len(), 1);
    pack(&place, &[]);
    let pack = Arc::new(open_pack(&place).unwrap());
    assert!(evaluate(&pack, &experiment, &[4], 1) == evaluate(&dataset, &experiment, &[4], 1));
    // Another list of missing videos is another data set.
    list("lacking.txt", "gone.mp4\n3.webm\n");
    let (code, text) = place.ffn(&["verify", "small.ron"]);
    assert!(
        code == 4 && text.contains("label files that differ (1):\n  lacking.txt"),
        "{text}"
    );
    // A certificate is of videos, each of them once.
    fs::create_dir(place.path("empty")).unwrap();
    let empty = place.path("empty");
    let certify = ["data", "certify", "small.ron", "--out", "none.gz"];
    let refused = |flags: &[&str], what: &str| {
        let output = place.output(&[&certify, flags].concat());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(4) && text.contains(what),
            "{text}"
        );
        assert!(!place.path("none.gz").exists());
    };
    refused(&["--data-root", empty.to_str().unwrap()], "videos is there");
    list("val.txt", "1.webm jump\n4.webm run\n");
    refused(&[], "ids listed more than once (1)");
}

/// Whoever has the program without object stores is told how to get it with them.
#[cfg(not(feature = "object-store"))]
#[test]
fn an_address_needs_a_program_that_was_built_for_it() {
    let place = Place::new();
    for root in ["s3://bucket/pack", "https://host/pack"] {
        let (code, text) = place.ffn(&["verify", "small.ron", "--data-root", root]);
        assert_eq!(code, 2);
        insta::allow_duplicates! {
            insta::assert_snapshot!("without_object_stores", text.replace(root, "ADDRESS"));
        }
    }
}
