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
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT / "benches" / "peers" / "peer.py"
R50, MINIATURE = "experiments/ffn_tsm_sthv2.ron", "experiments/ffn_tsm_miniature.ron"

# Work: what ffn is asked for, what each peer is, and the title.
WORKS = {
    "train": (
        ["train", R50, "--batch", "{clips}"],
        {
            "PyTorch, channels_last": ["train", "pytorch", "--clips", "{clips}"],
            "PyTorch, NCHW": ["train", "pytorch", "--layout", "nchw", "--clips", "{clips}"],
            "PyTorch, channels_last, bf16 autocast": ["train", "pytorch", "--precision", "bf16", "--clips", "{clips}"],
        },
        "Training step of the FFN-TSM-ResNet-50, {clips} x (4 + 8 + 16) frames, 224 x 224",
    ),
    "eval": (
        ["eval", R50, "--frames", "8", "--batch", "1"],
        {
            "PyTorch, channels_last": ["eval", "pytorch"],
            "PyTorch Inductor, frozen": ["eval", "inductor"],
            "ONNX Runtime": ["eval", "onnxruntime"],
            "OpenVINO": ["eval", "openvino"],
            "OpenVINO, bf16": ["eval", "openvino", "--precision", "bf16"],
        },
        "Evaluation of the FFN-TSM-ResNet-50, 1 clip of 8 frames, 224 x 224",
    ),
    "miniature": (
        ["train", MINIATURE, "--batch", "8"],
        {
            "PyTorch, channels_last": ["train", "pytorch", "--network", "miniature", "--clips", "8"],
            "PyTorch, NCHW": ["train", "pytorch", "--network", "miniature", "--clips", "8", "--layout", "nchw"],
        },
        "Training step of the miniature, 8 clips of 4 + 8 + 16 frames, 32 x 32",
    ),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"of {', '.join(WORKS)}; all of them if none is given")
    parser.add_argument("--ffn", type=Path, default=ROOT / "target" / "release" / "ffn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=2, help="runs of a program in a round; the fastest counts")
    parser.add_argument("--clips", type=int, default=1, help="of a training step of the ResNet-50")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder for WORK.json, or train-CLIPS.json, which the book shows")
    args = parser.parse_args()
    unknown = [work for work in args.works if work not in WORKS]
    if unknown:
        parser.error(f"no such work: {', '.join(unknown)}; there are {', '.join(WORKS)}")
    return args


def run(command):
    """The JSON object that a program prints last."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout[done.stdout.index("{") :])


def commands(work, args):
    own, peers, _ = WORKS[work]
    fill = lambda words: [word.format(clips=args.clips) for word in words]
    common = ["--repeats", str(args.repeats), "--threads", str(args.threads)]
    named = {"ffn": [args.ffn, "bench", *fill(own), *common, "--json"]}
    return named | {name: [sys.executable, PEER, *fill(words), *common] for name, words in peers.items()}


def compare(work, args):
    programs = commands(work, args)
    rounds = {name: [] for name in programs}
    for index in range(args.rounds):
        for name, command in programs.items():
            print(f"{work}, round {index + 1} of {args.rounds}: {name}", file=sys.stderr)
            found = run(command)
            found.pop("steps", None)  # Their kinds tell enough.
            rounds[name].append(found)
    found = rounds["ffn"][0]
    machine, build = found["machine"], found["build"]
    return {
        "what": f"{WORKS[work][2].format(clips=args.clips)}, {args.threads} threads",
        "command": " ".join(["python", "benches/compare.py", *sys.argv[1:]]),
        "commit": (build["commit"] or build["source_sha256"])[:12] + (" with changes" if build["dirty"] else ""),
        "machine": f"{machine['cpu']}, {machine['cores']} cores, {machine['os']}",
        "columns": ["program", "time, s", "ratio", "range", "ratio of processor time", "range", "peak, MB"],
        "rows": [row(name, rounds) for name in programs],
        "versions": found_versions(),
        "rounds": rounds,
    }


def found_versions():
    packages = (ROOT / "benches" / "peers" / "requirements.txt").read_text().split()
    return {name: version(name) for name in (package.split("=")[0].split(">")[0] for package in packages)}


def row(name, rounds):
    """Fastest run of each round; ratios within rounds; medians, and the range."""
    times = lambda of, key: [min(found[key]) for found in rounds[of]]
    ratios = lambda key: [peer / own for peer, own in zip(times(name, key), times("ffn", key))]
    spread = lambda values: f"{min(values):.2f} to {max(values):.2f}"
    wall, processor = ratios("seconds"), ratios("processor_seconds")
    return [
        name,
        f"{statistics.median(times(name, 'seconds')):.3f}",
        f"{statistics.median(wall):.2f}",
        spread(wall),
        f"{statistics.median(processor):.2f}",
        spread(processor),
        f"{max(found['peak_bytes'] for found in rounds[name]) / 1e6:.0f}",
    ]


def table(result):
    lines = [f"### {result['what']}", "", result["columns"], ["---"] + ["---:"] * 6, *result["rows"]]
    return "\n".join(line if isinstance(line, str) else "| " + " | ".join(line) + " |" for line in lines) + "\n"


def main():
    args = arguments()
    for work in args.works or WORKS:
        result = compare(work, args)
        print(table(result))
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            name = f"train-{args.clips}" if work == "train" else work
            (args.out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")


main()
