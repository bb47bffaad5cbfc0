"""Clips like those of Something-Something V2, in its layout, and an experiment that reads them.

    python clips.py FOLDER [--clips 48]

VP9 in WebM, 427 x 240, 12 frames/s, 3 to 6 s, about 200 kbit/s: what the data set's videos are. What they show is
made by ffmpeg's generators, moving and noisy, so that nobody has to register for a download to measure the loader.
"""

import argparse
import json
import subprocess
from pathlib import Path

SIZE, RATE = "427x240", 12
SCENES = [
    "testsrc2=size={size}:rate={rate},rotate=a=t/{slow}:fillcolor=gray",
    "mandelbrot=size={size}:rate={rate}:start_scale={start}:end_scale=0.01:maxiter=300",
    "cellauto=size={size}:rate={rate}:rule={rule}:seed={seed}:scroll=1,boxblur=3",
]
EXPERIMENT = """// The loader's work of `ffn_tsm_sthv2` on the clips of `benches/peers/clips.py`.
Experiment(
    name: "bench_loader",
    model: Tsm(backbone: ResNet50, init: Random),
    method: Ffn(frames: [4, 8, 16]),
    data: SomethingV2(pins: "loader.pins.ron", class_count: {classes}, train_count: {clips}, validation_count: 1),
    train: (batch: {batch}),
    eval: (frames: [4, 8, 16]),
)
"""


def render(path, index):
    """One clip; its number decides what it shows and how long."""
    scene = SCENES[index % len(SCENES)].format(
        size=SIZE, rate=RATE, slow=2 + index % 5, start=1 + index % 7, rule=18 + 4 * (index % 9), seed=index
    )
    noise = f"noise=alls={2 + index % 4}:allf=t:all_seed={index},format=yuv420p"
    # 36 to 72 frames, each length as often as another.
    frames = 36 + index * 13 % 37
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", f"{scene},{noise}"]
    command += ["-frames:v", str(frames), "-c:v", "libvpx-vp9", "-b:v", "150k", "-deadline", "good", "-cpu-used", "4"]
    subprocess.run([*command, "-threads", "1", path], check=True)


def make(folder, clips):
    """The folder's experiment; what is there already is not made again."""
    experiment = folder / "loader.ron"
    if experiment.exists():
        return experiment
    folder.mkdir(parents=True, exist_ok=True)
    labels = {"Showing something moving": "0", "Showing something standing still": "1"}
    entry = lambda index: {"id": str(index + 1), "template": list(labels)[index % 2].replace("something", "[something]")}
    for index in range(clips + 1):
        render(folder / f"{index + 1}.webm", index)
    lists = {"labels": labels, "train": [entry(i) for i in range(clips)], "validation": [entry(clips)]}
    for name, content in lists.items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1))
    experiment.write_text(EXPERIMENT.format(classes=len(labels), clips=clips, batch=8))
    return experiment


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=48)
    args = parser.parse_args()
    print(make(args.folder, args.clips))
