"""Memory of the GPU that `ffn plan` predicts for training beside what the driver says is taken: fails beyond 10 %.

    python memory.py FFN EXPERIMENT

What is taken is the most that the GPU has less in free memory than before. Predicted are the bytes of the weights and of the
training's engine, and what CUDA, the kernels and cuDNN take when they are opened. Nobody else may use the GPU.
"""

import json
import subprocess
import sys
import time

QUERY = ["nvidia-smi", "--id=0", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]


def free():
    return int(subprocess.run(QUERY, check=True, capture_output=True, text=True).stdout) << 20


def ffn(*arguments):
    return [sys.argv[1], *arguments, sys.argv[2], "--device", "cuda:0", "--json"]


before = free()
plan = subprocess.run(ffn("plan"), check=True, stdout=subprocess.PIPE, text=True)
plan = json.loads(plan.stdout)["on_gpu"]
training = plan["engines"][0]
planned = sum(plan["weights"].values()) + sum(part for name, part in training.items() if name != "what")
predicted = before - plan["free_bytes"] + planned

least = before
bench = subprocess.Popen(ffn("bench", "train"), stdout=subprocess.DEVNULL)
while bench.poll() is None:
    least = min(least, free())
    time.sleep(0.1)
if bench.returncode:
    sys.exit(f"the bench ended with {bench.returncode}")
taken = before - least
print(f"{training['what']}: predicted {predicted / 1e6:.1f} MB, taken {taken / 1e6:.1f} MB, off by {predicted / taken - 1:+.1%}")
sys.exit(abs(predicted / taken - 1) > 0.1)
