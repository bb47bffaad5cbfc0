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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT / "benches" / "peers" / "peer.py"
R50, MINIATURE = "experiments/ffn_tsm_sthv2.ron", "experiments/ffn_tsm_miniature.ron"

# Work: what ffn is asked for, and what each peer is.
WORKS = {
    "train": (
        ["train", R50, "--batch", "{clips}"],
        {
            "PyTorch, channels_last": ["train", "pytorch", "--clips", "{clips}"],
            "PyTorch, NCHW": ["train", "pytorch", "--layout", "nchw", "--clips", "{clips}"],
            "PyTorch, channels_last, bf16 autocast": ["train", "pytorch", "--precision", "bf16", "--clips", "{clips}"],
        },
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
    ),
    "miniature": (
        ["train", MINIATURE, "--batch", "16"],
        {
            "PyTorch, channels_last": ["train", "pytorch", "--network", "miniature", "--clips", "16"],
            "PyTorch, NCHW": ["train", "pytorch", "--network", "miniature", "--clips", "16", "--layout", "nchw"],
        },
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
    parser.add_argument("--out", type=Path, help="folder for WORK.json and WORK.md")
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
    own, peers = WORKS[work]
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
            rounds[name].append(run(command))
    rows = [row(name, rounds) for name in programs]
    return {"work": work, "threads": args.threads, "rows": rows, "rounds": rounds}


def row(name, rounds):
    """Fastest run of each round; ratios within rounds; medians, and the range."""
    times = lambda of, key: [min(found[key]) for found in rounds[of]]
    ratios = lambda key: [peer / own for peer, own in zip(times(name, key), times("ffn", key))]
    wall, processor = ratios("seconds"), ratios("processor_seconds")
    return {
        "program": name,
        "seconds": statistics.median(times(name, "seconds")),
        "ratio": statistics.median(wall),
        "ratio_range": [min(wall), max(wall)],
        "processor_ratio": statistics.median(processor),
        "processor_ratio_range": [min(processor), max(processor)],
        "peak_bytes": max(found["peak_bytes"] for found in rounds[name]),
    }


def table(result):
    lines = [
        f"### {result['work']}, {result['threads']} threads",
        "",
        "| program | time, s | ratio | range | ratio of processor time | range | peak, MB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for of in result["rows"]:
        spread = lambda key: "{:.2f} to {:.2f}".format(*of[key])
        cells = [
            of["program"],
            f"{of['seconds']:.3f}",
            f"{of['ratio']:.2f}",
            spread("ratio_range"),
            f"{of['processor_ratio']:.2f}",
            spread("processor_ratio_range"),
            f"{of['peak_bytes'] / 1e6:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main():
    args = arguments()
    for work in args.works or WORKS:
        result = compare(work, args)
        text = table(result)
        print(text)
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            (args.out / f"{work}.json").write_text(json.dumps(result, indent=1) + "\n")
            (args.out / f"{work}.md").write_text(f"`{' '.join(['python', *sys.argv])}`\n\n{text}")


main()
