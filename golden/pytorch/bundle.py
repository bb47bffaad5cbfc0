"""Golden bundles for `ffn golden verify`, computed by PyTorch: TSM and the Frame Flexible Network, evaluation and training.

    python bundle.py CASE.json --out DIR          compute the case: DIR/case.json, DIR/expected.safetensors
    python bundle.py CASE.json --out DIR --checkpoint FILE.pth [--legacy]
                                                  the same with random weights, saved as training scripts save them
    python bundle.py --check DIR...               compute the cases of these bundles anew and compare
    python bundle.py --bf16 DIR...                add to these bundles how far mixed precision in bf16 strays from them

A case is described in book/src/golden.md. Values are computed in float64; `reference_f32_error` is how far the same
computation in float32 strays from them. `main` takes other networks than those of networks.py, as
book/src/golden_walkthrough.md shows.
"""

import argparse
import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from networks import network

# ---- weights and inputs from names: procedural-v1 ------------------------------------------------------------------


def procedural(name, count):
    """Values in [-1, 1): SplitMix64 seeded with FNV-1a of the name."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float32(2) * ((z >> np.uint64(40)).astype(np.float32) / np.float32(2**24)) - np.float32(1)


def procedural_weight(name, shape):
    v, f32 = procedural(name, math.prod(shape)), np.float32
    if name.endswith("running_mean"):
        v = v * f32(0.1)
    elif name.endswith("running_var"):
        v = v * f32(0.2) + f32(1)
    elif "adaconv" in name:
        v = v * f32(0.1)
    elif len(shape) == 4:
        v = v * f32(math.sqrt(6 / math.prod(shape[1:])))
    elif len(shape) == 2:
        v = v * f32(0.05)
    elif name.endswith("bias"):
        v = v * f32(0.1)
    else:
        v = v * f32(0.1) + f32(1)
        if name.split(".")[-2].split("_")[0] == "bn3":
            v = v * f32(0.25)
    return torch.from_numpy(v).view(shape)


def set_weights(net, weights):
    """`weights` by name, or procedural ones: float32 values, whatever the network computes in."""
    state = net.state_dict()
    for name, tensor in state.items():
        if weights is None and tensor.is_floating_point():
            state[name] = procedural_weight(name, tensor.shape)
    net.load_state_dict(state if weights is None else weights)


def read_input(case, folder, name, frames):
    shape = (case["batch"], frames, 3, case["height"], case["width"])
    if case["inputs"] != "procedural-v1":
        with safe_open(folder / case["inputs"], "pt") as file:
            return file.get_tensor(name)
    return torch.from_numpy(procedural(name, math.prod(shape)) * np.float32(math.sqrt(3))).view(shape)


# ---- what a case fixes ---------------------------------------------------------------------------------------------


class Taps:
    """Outputs of the nodes that a case names: those of the modules of that name, of the branch's own where it has one."""

    def __init__(self, net, case):
        self.outputs, modules = {}, dict(net.named_modules())
        for node in case.get("taps", []):
            names = [node, *(f"{node}_{frames}" for frames in case.get("branches", []))]
            own = [modules[name] for name in names if name in modules]
            if not own:
                sys.exit(f"error: the network has no module `{node}`")
            for module in own:
                module.register_forward_hook(self.keep(node))

    def keep(self, node):
        return lambda module, inputs, output: self.outputs.update({node: output.detach().clone()})

    def take(self, prefix, frames):
        taken = {f"{prefix}tap.{frames}.{node}": output for node, output in self.outputs.items()}
        self.outputs = {}
        return taken


def evaluate(net, case, folder, dtype):
    taps, values = Taps(net, case), {}
    net.eval()
    for frames in case["frames"]:
        with torch.no_grad():
            x = read_input(case, folder, f"input.{frames}", frames).to(dtype)
            values[f"logits.{frames}"] = net(x, frames, frames)
        values |= taps.take("", frames)
    return values


def objective(logits, labels, weight):
    """Cross entropy of the largest branch + lambda * sum of KL(largest, detached || smaller), averaged over the batch."""
    largest = max(logits)
    teacher = F.log_softmax(logits[largest].detach(), 1)
    terms = {"ce": F.cross_entropy(logits[largest], labels)}
    for frames in sorted(set(logits) - {largest}):
        student = F.log_softmax(logits[frames], 1)
        terms[f"kl.{frames}"] = weight * F.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return terms | {"total": sum(terms.values())}


def optimizer(net, sgd):
    """SGD in the official groups: the classifier's weight at 5 and its bias at 10 times the rate; no decay for biases and norms."""
    groups = []
    for name, parameter in net.named_parameters():
        rate = {"new_fc.weight": 5, "new_fc.bias": 10}.get(name, 1)
        decay = sgd["weight_decay"] if parameter.dim() > 1 else 0
        groups.append({"params": [parameter], "lr": sgd["lr"] * rate, "weight_decay": decay})
    return torch.optim.SGD(groups, lr=sgd["lr"], momentum=sgd["momentum"])


def head_and_norm(head, norm, name, tensor):
    tensor = tensor.detach().flatten()
    return {f"{head}/{name}": tensor[:8].clone(), f"{norm}/{name}": tensor.norm()}


def train(net, case, folder, dtype):
    net.train()
    taps, values = Taps(net, case), {}
    labels, sgd = torch.tensor(case["labels"]), optimizer(net, case["optimizer"])
    shared = case["shift_segments"].removeprefix("shared_")
    for step in range(case["steps"]):
        prefix, logits = f"step{step}.", {}
        for frames in case["frames"]:
            x = read_input(case, folder, f"input.{frames}.step{step}", frames).to(dtype)
            logits[frames] = net(x, frames, frames if shared == "per_branch" else int(shared))
            values[f"{prefix}logits.{frames}"] = logits[frames].detach()
            values |= taps.take(prefix, frames)
        loss = objective(logits, labels, case["lambda"])
        values |= {f"{prefix}loss.{term}": value.detach() for term, value in loss.items()}
        sgd.zero_grad()
        loss["total"].backward()
        for name, parameter in net.named_parameters():
            values |= head_and_norm(f"{prefix}grad_head", f"{prefix}grad_norm", name, parameter.grad)
        clip = case["optimizer"]["clip_norm"]
        values[f"{prefix}grad_norm.total"] = nn.utils.clip_grad_norm_(net.parameters(), math.inf if clip is None else clip)
        sgd.step()
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            values |= head_and_norm("after", "after_norm", name, tensor)
    return values


# What the experiment language takes for granted where a case names an experiment.
TRAINING = {
    "shift_segments": "per_branch",
    "lambda": 1.0,
    "optimizer": {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4, "clip_norm": 20.0},
}


def compute(build, case, folder, weights, dtype=torch.float64):
    """Every value that the case fixes; scalars have shape (1)."""
    case = TRAINING | case
    net = build(case).to(dtype)
    set_weights(net, weights)
    values = (train if case["mode"] == "train" else evaluate)(net, case, folder, dtype)
    return {name: value.double().reshape(value.shape or 1).contiguous() for name, value in values.items()}


def in_bf16(build):
    """The same network under autocast, as training scripts use it: 16 bits between the layers, logits in float32."""

    def mixed(case):
        net = build(case)
        forward = net.forward

        def run(x, frames, segment):
            with torch.autocast("cpu", torch.bfloat16):
                logits = forward(x, frames, segment)
            return logits.float()

        net.forward = run
        return net

    return mixed


def group_errors(expected, found):
    """By group, the name up to its first `/`: relative L2 error, and the largest difference."""
    groups = {}
    for name in expected:
        groups.setdefault(name.split("/")[0], []).append(name)
    errors = {}
    for group, names in sorted(groups.items()):
        right = torch.cat([expected[name].double().flatten() for name in names])
        difference = torch.cat([found[name].double().flatten() for name in names]) - right
        rel_l2 = (difference.norm() / right.norm()).item() if difference.any() else 0.0
        errors[group] = {"rel_l2": rel_l2, "max_abs": difference.abs().max().item()}
    return errors


# ---- the commands --------------------------------------------------------------------------------------------------


def write(build, case, arguments):
    """Where the weights are a file, it gets those that `build` gave the network. A checkpoint beside the bundle has to be
    imported into it."""
    out, weights = arguments.out, None
    out.mkdir(parents=True, exist_ok=True)
    if "experiment" in case:
        shutil.copy(arguments.case.parent / case["experiment"], out)
    if arguments.checkpoint:
        inside = arguments.checkpoint.parent.resolve() == out.resolve()
        case["weights"] = arguments.checkpoint.name if inside else "weights.safetensors"
    if case["weights"] != "procedural-v1":
        net = build(case)
        weights = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
        if arguments.checkpoint:
            write_checkpoint(net, case, arguments)
        else:
            save_file(weights, out / case["weights"])
    expected = compute(build, case, out, weights)
    found = compute(build, case, out, weights, torch.float32)
    case["reference_f32_error"] = group_errors(expected, found)
    save_file(expected, out / "expected.safetensors")
    (out / "case.json").write_text(json.dumps(case, indent=1) + "\n")
    print(f"{out}: {len(expected)} tensors, {sum(value.numel() for value in expected.values())} values")


def write_checkpoint(net, case, arguments):
    """As training scripts save one: names as DataParallel gives them, and things beside the weights."""
    checkpoint = {
        "epoch": 50,
        "arch": case.get("arch", "network"),
        "state_dict": {f"module.{name}": tensor for name, tensor in net.state_dict().items()},
        "optimizer": torch.optim.SGD(net.parameters(), 0.01, momentum=0.9).state_dict(),
        "best_prec1": 61.86,
    }
    torch.save(checkpoint, arguments.checkpoint, _use_new_zipfile_serialization=not arguments.legacy)
    print(f"{arguments.checkpoint}: {len(checkpoint['state_dict'])} tensors, the weights of {arguments.out / case['weights']}")


def read(folder):
    """A bundle's case, weights and expected tensors."""
    case = json.loads((folder / "case.json").read_text())
    weights = None if case["weights"] == "procedural-v1" else load_file(folder / case["weights"])
    return case, weights, load_file(folder / "expected.safetensors")


def add_bf16(build, folder):
    case, weights, expected = read(folder)
    found = compute(in_bf16(build), case, folder, weights, torch.float32)
    case["reference_bf16_error"] = group_errors(expected, found)
    (folder / "case.json").write_text(json.dumps(case, indent=1) + "\n")
    print(f"{case['name']}: reference_bf16_error of {len(case['reference_bf16_error'])} groups")


def check(build, folder, tolerance=1e-7):
    """Whether a bundle's tensors are those that are computed here, to the rounding of float32."""
    case, weights, expected = read(folder)
    found = compute(build, case, folder, weights)
    if expected.keys() != found.keys():
        print(f"{case['name']}: other tensors: {sorted(expected.keys() ^ found.keys())[:5]}: DIFFERS")
        return False
    errors = group_errors(expected, found)
    worst = max(errors, key=lambda group: errors[group]["rel_l2"])
    largest = errors[worst]["rel_l2"]
    verdict = "agrees" if largest <= tolerance else "DIFFERS"
    print(f"{case['name']}: {len(expected)} tensors, largest relative difference {largest:.1e} ({worst}): {verdict}")
    return largest <= tolerance


def main(build=network):
    """`build`: from a case to a network, called as net(x, frames, segment); its modules' names are the weights' and taps'."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", type=Path, nargs="?", metavar="CASE.json", help="what is computed")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the bundle's folder")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE.pth", help="random weights, saved as training scripts do")
    parser.add_argument("--legacy", action="store_true", help="the checkpoint in the format of PyTorch before 1.6")
    parser.add_argument("--check", type=Path, nargs="+", metavar="DIR", help="bundles to compute anew")
    parser.add_argument("--bf16", type=Path, nargs="+", metavar="DIR", help="bundles that get reference_bf16_error")
    arguments = parser.parse_args()
    if arguments.bf16 and not arguments.case:
        return [add_bf16(build, folder) for folder in arguments.bf16]
    if arguments.check and not arguments.case:
        sys.exit(not all([check(build, folder) for folder in arguments.check]))
    if not (arguments.case and arguments.out):
        parser.error("expected CASE.json --out DIR, or --check DIR...")
    write(build, json.loads(arguments.case.read_text()), arguments)


if __name__ == "__main__":
    main()
