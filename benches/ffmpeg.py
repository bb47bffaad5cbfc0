#!/usr/bin/env python3
"""Loader throughput from videos that `ffmpeg` decodes, for several programs of that name and several builds of `ffn`.

The work: clips of 4, 8 and 16 frames of each of 48 videos as HMDB51 has them (MPEG-4 in AVI, 320 x 240 pixels, 93 frames), cropped to 224, in batches
of 8, by two workers. Frames were counted before.

    python3 benches/ffmpeg.py --ffn OLD --ffn NEW --ffmpeg DIR --ffmpeg DIR --out benches/results/FOLDER/ffmpeg.md

Each DIR holds an `ffmpeg`; the first makes the videos. `.ci/ffmpeg` prints some.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

from loading import processor

EXPERIMENT = """Experiment(
    name: "loading",
    model: Tsm(backbone: ResNet18, init: Random),
    method: Ffn(frames: [4, 8, 16]),
    data: VideoList(
        root: "small", pins: "loading.pins.ron", lists: Text(train: "train.txt", validation: "val.txt"), class_count: 2,
        direction_sensitive: true,
    ),
    train: (epochs: 40, batch: 8, clips: (branches: Independent, flip: Off, size: 224)),
    optimizer: Sgd(lr: 0.01),
    schedule: (shape: Cosine(last: 0.01), step: Iteration),
    eval: (frames: [4, 8, 16]),
)
"""
VIDEOS = 48
TRAINED = 40
REPEATS = 5


def make(ffmpeg, folder):
    lists = {"train.txt": [], "val.txt": []}
    for number in range(VIDEOS):
        name = f"{number}.avi"
        scene = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=30:duration=3.1", "-vf", f"hue=h={7 * number}"]
        subprocess.run([ffmpeg, "-v", "error", *scene, "-c:v", "mpeg4", "-q:v", "5", folder / name], check=True)
        # What was written a moment ago is not remembered.
        os.utime(folder / name, (1_700_000_000, 1_700_000_000))
        lists["train.txt" if number < TRAINED else "val.txt"].append(f"{name} {number % 2}\n")
    for name, lines in lists.items():
        (folder / name).write_text("".join(lines))


def speed(ffn, ffmpeg, place):
    path = f"{ffmpeg}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "XDG_CACHE_HOME": str(place / "cache")}
    run = lambda *words: subprocess.run([ffn, *words], cwd=place, env=environment, check=True, capture_output=True, text=True).stdout
    run("data", "pin", "loading.ron", "--data-root", "data")
    flags = ["--steps", "20", "--repeats", str(REPEATS), "--workers", "2", "--json"]
    report = json.loads(run("bench", "data", "loading.ron", "--data-root", "data", *flags))
    return report["clips"] / statistics.median(report["seconds"])


def first_line(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ffn", type=pathlib.Path, required=True, action="append")
    parser.add_argument("--ffmpeg", type=pathlib.Path, required=True, action="append")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    builds = [ffn.resolve() for ffn in args.ffn]
    programs = [folder.resolve() for folder in args.ffmpeg]
    versions = [first_line(ffn, "--version") for ffn in builds]
    lines = [
        "# Videos that ffmpeg decodes",
        "",
        "`python3 benches/ffmpeg.py --ffn OLD --ffn NEW --ffmpeg DIR … --out …`; what is measured stands in the script.",
        "",
        f"{processor()}, 2 workers, clips/s, median of {REPEATS}.",
        "",
        "| ffmpeg | " + " | ".join(versions) + " |",
        "| --- |" + " --- |" * len(builds),
    ]
    with tempfile.TemporaryDirectory() as name:
        place = pathlib.Path(name)
        (place / "data").mkdir()
        (place / "loading.ron").write_text(EXPERIMENT)
        make(programs[0] / "ffmpeg", place / "data")
        for program in programs:
            found = [f"{speed(ffn, program, place):.1f}" for ffn in builds]
            version = first_line(program / "ffmpeg", "-version").split()[2]
            lines.append(f"| {version} | " + " | ".join(found) + " |")
    text = "\n".join(lines) + "\n"
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
