"""The same work as `ffn bench data`, by Python programs: prints one JSON object.

    python loader.py ffmpeg FOLDER --workers 2
    python loader.py pyav FOLDER --size 32 --flip

Reads a folder in the layout of Something-Something V2 and makes batches of normalised float32 clips of 4, 8 and 16
frames from one decode of each video, in the worker processes of PyTorch's DataLoader. `ffmpeg`: one process for each
video, single-threaded, which hands the wanted frames through a pipe; `pyav`: FFmpeg's libraries inside the worker.
Pillow crops and resizes, each frame once. How many frames a video has is known beforehand, as from TSM's lists.
"""

import argparse
import json
import random
import resource
import subprocess
import time
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image

FRAMES = [4, 8, 16]
SCALES = [1.0, 0.875, 0.75, 0.66]
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("decoder", choices=["ffmpeg", "pyav"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=224, help="of the images that come out; of the videos', none is cropped")
    parser.add_argument("--flip", action="store_true", help="half of the clips")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


class Clips(torch.utils.data.Dataset):
    """Clip of each video: an array of T x 3 x size x size values for each frame count, and the label."""

    def __init__(self, args):
        self.args = args
        labels = json.loads((args.folder / "labels.json").read_text())
        entries = json.loads((args.folder / "train.json").read_text())
        random.Random(0).shuffle(entries)
        entries = entries[: args.steps * args.batch]
        label = lambda entry: int(labels[entry["template"].replace("[", "").replace("]", "")])
        videos = next(path for path in (args.folder / "20bn-something-something-v2", args.folder) if path.exists())
        paths = [videos / f"{entry['id']}.webm" for entry in entries]
        self.samples = [(path, *properties(path), label(entry)) for path, entry in zip(paths, entries)]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        path, count, size, label = self.samples[index]
        draw = random.Random(index)
        branches = self.indices(count, draw)
        wanted = sorted({index for branch in branches for index in branch})
        decode = {"ffmpeg": with_ffmpeg, "pyav": with_pyav}[self.args.decoder]
        images = self.transformed(decode(path, wanted, size), size, draw)
        frames = dict(zip(wanted, images))
        clips = [np.stack([frames[index] for index in branch]) for branch in branches]
        return [normalised(clip) for clip in clips], label

    def indices(self, count, draw):
        """Of 16 equal segments a frame each; the shorter clips are the centres of segments of these."""
        tick = count // 16
        longest = [tick * i + draw.randrange(tick) if tick else i * count // 16 for i in range(16)]
        return [[longest[16 * i // n + 8 // n] for i in range(n)] for n in FRAMES]

    def transformed(self, images, size, draw):
        box, side = self.box(size, draw), self.args.size
        flip = self.args.flip and draw.random() < 0.5
        for image in images:
            if box != (0, 0, side, side):
                image = image.crop(box).resize((side, side), Image.Resampling.BILINEAR)
            if flip:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            yield np.asarray(image)

    def box(self, size, draw):
        """Multi-scale crop: two scales that are neighbours or the same, a place on a grid of fourths."""
        if size == (self.args.size, self.args.size):
            return (0, 0, *size)
        place = draw.randrange(len(SCALES))
        other = draw.choice([scale for scale in range(len(SCALES)) if abs(scale - place) <= 1])
        width, height = int(min(size) * SCALES[place]), int(min(size) * SCALES[other])
        x, y = draw.randrange(5) * ((size[0] - width) // 4), draw.randrange(5) * ((size[1] - height) // 4)
        return (x, y, x + width, y + height)


def properties(path):
    """Frames, and width and height."""
    with av.open(path) as video:
        stream = video.streams.video[0]
        return sum(1 for packet in video.demux(stream) if packet.size), (stream.width, stream.height)


def with_ffmpeg(path, wanted, size):
    chosen = "+".join(f"eq(n,{index})" for index in wanted)
    command = ["ffmpeg", "-nostdin", "-v", "error", "-threads", "1", "-i", path, "-vf", f"select='{chosen}'", "-vsync", "0"]
    command += ["-frames:v", str(len(wanted)), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    rgb = subprocess.run(command, check=True, capture_output=True).stdout
    length = size[0] * size[1] * 3
    assert len(rgb) == length * len(wanted), path
    return [Image.frombytes("RGB", size, rgb[start : start + length]) for start in range(0, len(rgb), length)]


def with_pyav(path, wanted, size):
    images = []
    with av.open(path) as video:
        stream = video.streams.video[0]
        stream.codec_context.thread_count = 1
        for index, frame in enumerate(video.decode(stream)):
            if index == wanted[len(images)]:
                images.append(frame.to_image())
            if len(images) == len(wanted):
                return images
    raise ValueError(f"{path}: {len(images)} of {len(wanted)} frames")


def normalised(clip):
    """T x height x width x 3 bytes to T x 3 x height x width values, as torchvision's ToTensor and Normalize."""
    values = clip.transpose(0, 3, 1, 2).astype(np.float32, order="C")
    values /= 255
    values -= MEAN[:, None, None]
    values /= STD[:, None, None]
    return values


def processor_seconds():
    """Of this process, of the workers that have ended, and of what these waited for."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in found)


def main():
    args = arguments()
    torch.set_num_threads(1)
    loader = torch.utils.data.DataLoader(Clips(args), batch_size=args.batch, num_workers=args.workers)
    seconds, processor = [], []
    for _ in range(args.repeats + 1):
        start, start_processor = time.perf_counter(), processor_seconds()
        clips = sum(len(labels) for _, labels in loader)
        seconds.append(time.perf_counter() - start)
        processor.append(processor_seconds() - start_processor)
    # The first run warmed up.
    print(json.dumps({"clips": clips, "seconds": seconds[1:], "processor_seconds": processor[1:], "torch": torch.__version__}))


main()
