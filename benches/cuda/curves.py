"""How far two unfinished runs of one experiment are apart, step by step: fails beyond what float32's last bits explain.

    python curves.py RUNS_A RUNS_B

Each is a folder with one run. Rounding grows with the steps: the first ten must agree to 1e-3, the means of the losses
over all steps that both have to 5 %.
"""

import json
import sys
from pathlib import Path
from statistics import fmean


def losses(folder):
    (run,) = [path for path in Path(folder).iterdir() if path.is_dir()]
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


a, b = (losses(folder) for folder in sys.argv[1:3])
count = min(len(a), len(b))
if count < 10:
    sys.exit(f"only {count} steps to compare")
first = max(abs(x - y) / abs(x) for x, y in zip(a[:10], b[:10]))
whole = abs(fmean(a[:count]) - fmean(b[:count])) / fmean(a[:count])
print(f"steps {count}, first ten within {first:.1e}, means within {whole:.1e}")
sys.exit(first > 1e-3 or whole > 0.05)
