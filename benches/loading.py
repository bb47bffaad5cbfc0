#!/usr/bin/env python3
"""Loader throughput from videos, from packs, and of a PyTorch DataLoader on the same frames as JPEG files.

The work: clips of 4, 8 and 16 frames of each of 64 rendered videos of 240 x 240 pixels (VP9), multi-scale crop to 224, as TSM's and
FFN's official loaders: one random frame of each segment, one crop a clip. Everything up to normalised float32 batches of 8 clips, by
two workers. The DataLoader reads with Pillow, one file a frame, as those loaders do.

    python3 benches/loading.py --ffn target/release/ffn --out benches/results/FOLDER/loading.md

Needs torch, numpy and Pillow for the peer; without them its line is left out.
"""

import argparse
import json
import pathlib
import platform
import statistics
import subprocess
import tarfile
import tempfile
import time

EXPERIMENT = """Experiment(
    name: "loading",
    model: Tsm(backbone: ResNet18, init: Random),
    method: Ffn(frames: [4, 8, 16]),
    data: Miniature(pins: "loading.pins.ron", train: 64, validation: 8, size: 240, frames: 48),
    train: (epochs: 1, batch: 8, clips: (branches: Independent, flip: Off, size: 224)),
    optimizer: Sgd(lr: 0.01),
    schedule: (shape: Cosine(last: 0.01), step: Iteration),
    eval: (frames: [4, 8, 16]),
)
"""

REPEATS = 3


def run(*command, cwd):
    return subprocess.run([str(part) for part in command], cwd=cwd, check=True, capture_output=True, text=True).stdout


def ours(ffn, folder, root):
    text = run(ffn, "bench", "data", "loading.ron", "--data-root", root, "--steps", 8, "--repeats", REPEATS, "--workers", 2, "--json", cwd=folder)
    report = json.loads(text)
    return report["clips"] / statistics.median(report["seconds"])


def processor():
    """The processor's name as Linux tells it."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def peer(frames):
    """Clips a second of a DataLoader on folders of JPEG files."""
    import numpy as np
    import torch
    from PIL import Image

    class Clips(torch.utils.data.Dataset):
        scales = (1, 0.875, 0.75, 0.66)

        def __init__(self):
            self.videos = sorted(path for path in frames.iterdir() if path.is_dir())[:64]

        def __len__(self):
            return len(self.videos)

        def __getitem__(self, index):
            files = sorted(self.videos[index].iterdir())
            rng = np.random.default_rng(index)
            side = int(240 * rng.choice(self.scales))
            x, y = rng.integers(0, 240 - side + 1, 2)
            clips = []
            for count in (16, 8, 4):
                length = len(files) // count
                for number in range(count):
                    with Image.open(files[number * length + rng.integers(length)]) as image:
                        image = image.convert("RGB").crop((x, y, x + side, y + side)).resize((224, 224), Image.BILINEAR)
                    clips.append(np.asarray(image))
            values = torch.from_numpy(np.concatenate(clips, axis=2)).permute(2, 0, 1).contiguous().float().div(255)
            mean = torch.tensor([0.485, 0.456, 0.406]).repeat(28)[:, None, None]
            std = torch.tensor([0.229, 0.224, 0.225]).repeat(28)[:, None, None]
            return values.sub_(mean).div_(std)

    torch.set_num_threads(1)
    times = []
    for _ in range(REPEATS):
        loader = torch.utils.data.DataLoader(Clips(), batch_size=8, num_workers=2, drop_last=True)
        begun = time.perf_counter()
        clips = sum(len(batch) for batch in loader)
        times.append(time.perf_counter() - begun)
    return clips / statistics.median(times), f"PyTorch {torch.__version__}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ffn", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    ffn = args.ffn.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "loading.ron").write_text(EXPERIMENT)
        run(ffn, "data", "pin", "loading.ron", "--data-root", "videos", cwd=folder)
        rows = [("`ffn`, VP9 videos", ours(ffn, folder, "videos"))]
        sizes = {"videos": sum(path.stat().st_size for path in (folder / "videos").glob("*.webm"))}
        for frames in ("raw", "png", "jpeg"):
            pack = f"pack-{frames}"
            run(ffn, "data", "pack", "loading.ron", "--data-root", "videos", "--out", pack, "--frames", frames, cwd=folder)
            sizes[pack] = sum(path.stat().st_size for path in (folder / pack).glob("*.tar"))
            rows.append((f"`ffn`, pack of {frames}", ours(ffn, folder, pack)))
        try:
            files = folder / "files"
            for shard in sorted((folder / "pack-jpeg").glob("*.tar")):
                with tarfile.open(shard) as tar:
                    tar.extractall(files, filter="data")
            speed, version = peer(files)
            rows.append((f"{version}, DataLoader, Pillow, the JPEG files", speed))
        except ImportError as error:
            print(f"skipped: the peer ({error})")
        version = run(ffn, "--version", cwd=folder).splitlines()
    of_videos = rows[0][1]
    lines = [
        "# Loader throughput",
        "",
        "`python3 benches/loading.py --ffn target/release/ffn --out …`; what is measured stands in the script.",
        "",
        f"{'; '.join(version[:2])}; {processor()}, 2 workers, median of {REPEATS}.",
        "",
        "| source | clips/s | × videos |",
        "| --- | --- | --- |",
        *(f"| {name} | {speed:.1f} | {speed / of_videos:.2f} |" for name, speed in rows),
        "",
        "Bytes: " + ", ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in sizes.items()) + ".",
        "",
    ]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
