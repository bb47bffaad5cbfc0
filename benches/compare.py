"""ffn and other programs do the same work in turn: prints ratios, with spread and peak memory beside.

    cargo build --release && python benches/compare.py [--rounds 3] [--out benches/results/FOLDER] [WORK...]

needs the packages of benches/peers/requirements.txt. In each round every program runs once, one after another, so that
what else the machine does meets all of them. A ratio is the peer's time over ffn's in the same round: above 1, ffn is
faster. Wall time, and processor time, which other work on the machine hardly changes.
"""

import argparse
import json
import statistics
import subprocess
import sys
from importlib.metadata import distributions, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "benches" / "peers"
sys.path.insert(0, str(PEERS))
import clips  # noqa: E402

R50, MINIATURE = "experiments/ffn_tsm_sthv2.ron", "experiments/ffn_tsm_miniature.ron"
TEA = "experiments/ffn_tea_sthv1.ron"
SLOWFAST, UNIFORMER = "experiments/ffn_slowfast_sthv1.ron", "experiments/ffn_uniformer_sthv1.ron"
# Videos that are made on first use, where git does not see them.
CLIPS, RENDERED = Path("target/benches/clips"), Path("target/benches/miniature")

# The words of a command; braces stand for what `compare.py` was given.
FFN = ["{ffn}", "bench"]
FLOAT32, BF16 = ["--engine", "compiled"], ["--engine", "compiled-bf16"]
# What `precision: Mixed` takes on this machine.
MIXED = ["--engine", "{mixed}"]
TIMES, THREADS = ["--repeats", "{repeats}"], ["--repeats", "{repeats}", "--threads", "{threads}"]
TRAIN = ["{python}", PEERS / "peer.py", "train", "pytorch", *THREADS]
EVAL = ["{python}", PEERS / "peer.py", "eval", *THREADS]
LOADER = ["{python}", PEERS / "loader.py", *TIMES, "--workers", "{threads}"]
STARTUP = ["{python}", PEERS / "startup.py", *TIMES, "--"]

# Work: its title, and the command of each program that does it; the first is ffn.
WORKS = {
    "train": (
        "Training step of the FFN-TSM-ResNet-50, {clips} x (4 + 8 + 16) frames, 224 x 224, {threads} threads",
        {
            "ffn": [*FFN, "train", R50, "--batch", "{clips}", *THREADS, *FLOAT32, "--json"],
            "PyTorch, channels_last": [*TRAIN, "--clips", "{clips}"],
            "PyTorch, NCHW": [*TRAIN, "--layout", "nchw", "--clips", "{clips}"],
        },
    ),
    "train_bf16": (
        "Training step of the FFN-TSM-ResNet-50 in mixed precision (bf16), {clips} x (4 + 8 + 16) frames, 224 x 224, {threads} threads",
        {
            "ffn": [*FFN, "train", R50, "--batch", "{clips}", *THREADS, *MIXED, "--json"],
            "PyTorch, channels_last, autocast": [*TRAIN, "--precision", "bf16", "--clips", "{clips}"],
            "PyTorch, NCHW, autocast": [*TRAIN, "--layout", "nchw", "--precision", "bf16", "--clips", "{clips}"],
        },
    ),
    "eval": (
        "Evaluation of the FFN-TSM-ResNet-50, 1 clip of 8 frames, 224 x 224, {threads} threads",
        {
            "ffn": [*FFN, "eval", R50, "--frames", "8", "--batch", "1", *THREADS, *FLOAT32, "--json"],
            "PyTorch, channels_last": [*EVAL, "pytorch"],
            "PyTorch Inductor, frozen": [*EVAL, "inductor"],
            "ONNX Runtime": [*EVAL, "onnxruntime"],
            "OpenVINO": [*EVAL, "openvino"],
        },
    ),
    "eval_bf16": (
        "Evaluation of the FFN-TSM-ResNet-50 in bf16, 1 clip of 8 frames, 224 x 224, {threads} threads",
        {
            "ffn": [*FFN, "eval", R50, "--frames", "8", "--batch", "1", *THREADS, *MIXED, "--json"],
            "PyTorch, channels_last, autocast": [*EVAL, "pytorch", "--precision", "bf16"],
            "PyTorch Inductor, frozen, autocast": [*EVAL, "inductor", "--precision", "bf16"],
            "OpenVINO": [*EVAL, "openvino", "--precision", "bf16"],
        },
    ),
    "tea_train": (
        "Training step of the FFN-TEA-Res2Net-50, {clips} x (4 + 8 + 16) frames, 224 x 224, {threads} threads",
        {
            "ffn": [*FFN, "train", TEA, "--batch", "{clips}", *THREADS, *FLOAT32, "--json"],
            "PyTorch, channels_last": [*TRAIN, "--network", "tea", "--clips", "{clips}"],
            "PyTorch, NCHW": [*TRAIN, "--network", "tea", "--layout", "nchw", "--clips", "{clips}"],
        },
    ),
    "tea_eval": (
        "Evaluation of the FFN-TEA-Res2Net-50, 1 clip of 8 frames, 224 x 224, {threads} threads",
        {
            "ffn": [*FFN, "eval", TEA, "--frames", "8", "--batch", "1", *THREADS, *FLOAT32, "--json"],
            "PyTorch, channels_last": [*EVAL, "pytorch", "--network", "tea"],
            "PyTorch, NCHW": [*EVAL, "pytorch", "--network", "tea", "--layout", "nchw"],
            "PyTorch Inductor, frozen": [*EVAL, "inductor", "--network", "tea"],
            "ONNX Runtime": [*EVAL, "onnxruntime", "--network", "tea"],
            "OpenVINO": [*EVAL, "openvino", "--network", "tea"],
        },
    ),
    "slowfast_train": (
        "Training step of the FFN-SlowFast-R50, {clips} x (16 + 32 + 64) frames, 224 x 224, {threads} threads",
        {
            "ffn": [*FFN, "train", SLOWFAST, "--batch", "{clips}", *THREADS, *FLOAT32, "--json"],
            "PyTorch, channels_last_3d": [*TRAIN, "--network", "slowfast", "--clips", "{clips}"],
            "PyTorch, NCTHW": [*TRAIN, "--network", "slowfast", "--layout", "nchw", "--clips", "{clips}"],
        },
    ),
    "slowfast_eval": (
        "Evaluation of the FFN-SlowFast-R50, 1 clip of 32 frames, 224 x 224, {threads} threads",
        {
            "ffn": [*FFN, "eval", SLOWFAST, "--frames", "32", "--batch", "1", *THREADS, *FLOAT32, "--json"],
            "PyTorch, channels_last_3d": [*EVAL, "pytorch", "--network", "slowfast", "--frames", "32"],
            "PyTorch, NCTHW": [*EVAL, "pytorch", "--network", "slowfast", "--layout", "nchw", "--frames", "32"],
            "ONNX Runtime": [*EVAL, "onnxruntime", "--network", "slowfast", "--frames", "32"],
            "OpenVINO": [*EVAL, "openvino", "--network", "slowfast", "--frames", "32"],
        },
    ),
    "uniformer_train": (
        "Training step of the FFN-UniFormer-S, {clips} x (4 + 8 + 16) frames, 224 x 224, {threads} threads",
        {
            "ffn": [*FFN, "train", UNIFORMER, "--batch", "{clips}", *THREADS, *FLOAT32, "--json"],
            "PyTorch, channels_last_3d": [*TRAIN, "--network", "uniformer", "--clips", "{clips}"],
            "PyTorch, NCTHW": [*TRAIN, "--network", "uniformer", "--layout", "nchw", "--clips", "{clips}"],
        },
    ),
    "uniformer_eval": (
        "Evaluation of the FFN-UniFormer-S, 1 clip of 8 frames, 224 x 224, {threads} threads",
        {
            "ffn": [*FFN, "eval", UNIFORMER, "--frames", "8", "--batch", "1", *THREADS, *FLOAT32, "--json"],
            "PyTorch, channels_last_3d": [*EVAL, "pytorch", "--network", "uniformer"],
            "PyTorch, NCTHW": [*EVAL, "pytorch", "--network", "uniformer", "--layout", "nchw"],
            "ONNX Runtime": [*EVAL, "onnxruntime", "--network", "uniformer"],
            "OpenVINO": [*EVAL, "openvino", "--network", "uniformer"],
        },
    ),
    "miniature": (
        "Training step of the miniature, 8 clips of 4 + 8 + 16 frames, 32 x 32, {threads} threads",
        {
            "ffn": [*FFN, "train", MINIATURE, "--batch", "8", *THREADS, "--json"],
            "PyTorch, channels_last": [*TRAIN, "--network", "miniature", "--clips", "8"],
            "PyTorch, NCHW": [*TRAIN, "--network", "miniature", "--clips", "8", "--layout", "nchw"],
        },
    ),
    "data": (
        "Loader: 48 videos like those of Something-Something V2 to 4 + 8 + 16 frames of 224 x 224 each, {threads} workers",
        {
            "ffn": [*FFN, "data", CLIPS / "loader.ron", "--data-root", CLIPS, "--steps", "6", *TIMES, "--workers", "{threads}", "--json"],
            "ffmpeg processes, Pillow, DataLoader": [*LOADER, "ffmpeg", CLIPS, "--steps", "6"],
            "PyAV, Pillow, DataLoader": [*LOADER, "pyav", CLIPS, "--steps", "6"],
        },
    ),
    "data_miniature": (
        "Loader: 200 videos of the miniature to 4 + 8 + 16 frames of 32 x 32 each, {threads} workers",
        {
            "ffn": [*FFN, "data", MINIATURE, "--data-root", RENDERED, "--steps", "25", *TIMES, "--workers", "{threads}", "--json"],
            "ffmpeg processes, Pillow, DataLoader": [*LOADER, "ffmpeg", RENDERED, "--steps", "25", "--size", "32", "--flip"],
            "PyAV, Pillow, DataLoader": [*LOADER, "pyav", RENDERED, "--steps", "25", "--size", "32", "--flip"],
        },
    ),
    "check": (
        "Start-up: from the start of a command to its end",
        {
            "ffn check": [*STARTUP, "{ffn}", "check", R50],
            "python -c pass": [*STARTUP, "{python}", "-c", "pass"],
            "python, argparse and PyYAML": [*STARTUP, "{python}", "-c", "import argparse, yaml"],
            "python, import torch": [*STARTUP, "{python}", "-c", "import torch"],
        },
    ),
}

# The same on a GPU, in mixed precision: `benches/cuda/all.sh`.
GPU = ["--device", "cuda", "--precision", "bf16", "--clips", "{clips}"]
GPU_TRAIN = [*FFN, "train", R50, "--device", "cuda:0", "--batch", "{clips}", *THREADS, *BF16, "--json"]
GPU_STEP = "Training step of the FFN-TSM-ResNet-50 in mixed precision (bf16) on a GPU, {clips} x (4 + 8 + 16) frames, 224 x 224"
ON_GPU = {
    "cuda_train": (
        GPU_STEP,
        {
            "ffn": GPU_TRAIN,
            "PyTorch, NCHW, autocast": [*TRAIN, *GPU, "--layout", "nchw"],
            "PyTorch, channels_last, autocast": [*TRAIN, *GPU],
            "PyTorch, channels_last, autocast, deterministic": [*TRAIN, *GPU, "--deterministic"],
        },
    ),
    # By itself: to compile takes minutes.
    "cuda_train_compiled": (
        GPU_STEP,
        {
            "ffn": GPU_TRAIN,
            "PyTorch, channels_last, autocast, compiled": [*TRAIN, *GPU, "--compile"],
        },
    ),
    "cuda_eval": (
        "Evaluation of the FFN-TSM-ResNet-50 in bf16 on a GPU, {clips} clips of 8 frames, 224 x 224",
        {
            "ffn": [*FFN, "eval", R50, "--device", "cuda:0", "--frames", "8", "--batch", "{clips}", *THREADS, *BF16, "--json"],
            "PyTorch, channels_last, autocast": [*EVAL, "pytorch", *GPU],
            "PyTorch Inductor, frozen, autocast": [*EVAL, "inductor", *GPU],
        },
    ),
}
ALL = WORKS | ON_GPU


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"of {', '.join(ALL)}; without a name {', '.join(WORKS)}")
    parser.add_argument("--ffn", type=Path, default=ROOT / "target" / "release" / "ffn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=2, help="runs of a program in a round; the fastest counts")
    parser.add_argument("--clips", type=int, default=1, help="of a training step of the ResNet-50")
    parser.add_argument("--threads", type=int, default=2, help="or loader workers")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="of one program in a round; what takes longer is left out from then on")
    parser.add_argument("--out", type=Path, help="folder for WORK.json, of training WORK-CLIPS.json, which the book shows")
    args = parser.parse_args()
    unknown = [work for work in args.works if work not in ALL]
    if unknown:
        parser.error(f"no such work: {', '.join(unknown)}; there are {', '.join(ALL)}")
    return args


class Failed(Exception):
    """A program did not do its work; the text is the reason in a few words."""


def run(command, limit=None):
    """The JSON object that a program prints last."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise Failed(f"longer than {limit:.0f} s") from None
    if done.returncode:
        print(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stderr}", file=sys.stderr)
        raise Failed("out of memory" if "out of memory" in done.stderr else f"exit status {done.returncode}")
    return json.loads(done.stdout[done.stdout.index("{") :])


def compare(work, args):
    title, programs = ALL[work]
    mixed = run([args.ffn, "devices", "--json"])["mixed"]
    given = {"ffn": args.ffn, "python": sys.executable, "mixed": mixed} | {key: getattr(args, key) for key in ("clips", "repeats", "threads")}
    rounds, failures = {name: [] for name in programs}, {}
    for index in range(args.rounds):
        for name, command in programs.items():
            if name in failures:
                continue
            print(f"{work}, round {index + 1} of {args.rounds}: {name}", file=sys.stderr)
            try:
                found = run([str(word).format(**given) for word in command], args.limit)
            except Failed as reason:
                if name == next(iter(programs)):
                    raise  # There is nothing to hold the others against.
                failures[name] = str(reason)
                continue
            found.pop("steps", None)  # Their kinds tell enough.
            rounds[name].append(found)
    # Not every work says what was built and where it ran.
    about = run([args.ffn, "bench", "eval", MINIATURE, "--repeats", "1", "--json"])
    machine, build = about["machine"], about["build"]
    gpu = rounds[next(iter(programs))][0]["machine"]["device_class"] + ", " if work in ON_GPU else ""
    return {
        "what": title.format(**given),
        "command": " ".join(["python", "benches/compare.py", *sys.argv[1:]]),
        "commit": (build["commit"] or build["source_sha256"])[:12] + (" with changes" if build["dirty"] else ""),
        "machine": f"{gpu}{machine['cpu']}, {machine['cores']} cores, {machine['os']}",
        "columns": ["program", "time, s", "ratio", "range", "ratio of processor time", "range", "peak, MB"],
        "rows": [[name, failures[name], *["-"] * 5] if name in failures else row(name, rounds) for name in programs],
        "versions": found_versions(),
        "rounds": rounds,
    }


def found_versions():
    packages = (PEERS / "requirements.txt").read_text().split()
    names = [package.split("=")[0].split(">")[0] for package in packages]
    return {name: version(name) for name in names if any(distributions(name=name))}


def row(name, rounds):
    """Fastest run of each round; ratios to ffn, the first program, within rounds; medians, and the range."""
    first = next(iter(rounds))
    times = lambda of, key: [min(found[key]) for found in rounds[of]]
    ratios = lambda key: [peer / own for peer, own in zip(times(name, key), times(first, key))]
    spread = lambda values: f"{min(values):.2f} to {max(values):.2f}"
    wall, processor = ratios("seconds"), ratios("processor_seconds")
    return [
        name,
        f"{statistics.median(times(name, 'seconds')):#.3g}",
        f"{statistics.median(wall):.2f}",
        spread(wall),
        f"{statistics.median(processor):.2f}",
        spread(processor),
        peak(rounds[name]),
    ]


def peak(rounds):
    """Of programs that say it: those that consist of several processes don't."""
    peaks = [found["peak_bytes"] for found in rounds if "peak_bytes" in found]
    return f"{max(peaks) / 1e6:.0f}" if peaks else "-"


def table(result):
    lines = [f"### {result['what']}", "", result["columns"], ["---"] + ["---:"] * 6, *result["rows"]]
    return "\n".join(line if isinstance(line, str) else "| " + " | ".join(line) + " |" for line in lines) + "\n"


def main():
    args = arguments()
    for work in args.works or WORKS:
        if work == "data":
            clips.make(ROOT / CLIPS, 48)
        result = compare(work, args)
        print(table(result))
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            name = f"{work}-{args.clips}" if work.startswith("train") else work
            (args.out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")


main()
