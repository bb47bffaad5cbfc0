"""The same work as `ffn bench train|eval`, done by another program: prints one JSON object.

    python peer.py train pytorch --layout channels_last --precision float32 --clips 1
    python peer.py eval openvino --precision bf16 --frames 8

Inputs are random images, weights random: neither changes what is computed. `train` is one step of the official recipe:
for each frame count a pass of its own, cross entropy for the largest and KL to it for the others, backward, SGD.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "golden" / "pytorch"))
import networks  # noqa: E402
import slowfast  # noqa: E402
import tea  # noqa: E402
import uniformer  # noqa: E402

FRAMES = [4, 8, 16]
SLOWFAST_FRAMES = [16, 32, 64]
LAYOUT = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}
# Networks of clips, whose inputs are made channels_last by their first convolution.
VOLUMES = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last_3d}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=["train", "eval"])
    parser.add_argument("peer", choices=["pytorch", "inductor", "onnxruntime", "openvino"])
    parser.add_argument("--network", choices=["resnet50", "miniature", "tea", "slowfast", "uniformer"], default="resnet50")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--compile", action="store_true", help="the network by torch.compile")
    parser.add_argument("--layout", choices=LAYOUT, default="channels_last")
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    parser.add_argument("--deterministic", action="store_true", help="only algorithms of cuDNN that are")
    parser.add_argument("--clips", type=int, default=1)
    parser.add_argument("--frames", type=int, default=8, help="of a clip in evaluation")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def build(args):
    """The FFN of the bench for 224 x 224 and 174 classes, or the miniature's for 32 x 32 and 8."""
    torch.manual_seed(0)
    if args.network == "slowfast":
        return slowfast.Network("slowfast_r50", 174, SLOWFAST_FRAMES, True), 224
    if args.network == "uniformer":
        return uniformer.Network("uniformer_s", 174, FRAMES, True), 224
    if args.network == "tea":
        return tea.Network("res2net50_26w_4s", 174, FRAMES, True), 224
    classes, side, networks.Shift.div = {"resnet50": (174, 224, 8), "miniature": (8, 32, 4)}[args.network]
    return networks.Network(args.network, classes, FRAMES, True), side


def layout(args):
    """That of the weights, which decides the activations'."""
    return (VOLUMES if args.network in ("slowfast", "uniformer") else LAYOUT)[args.layout]


def train_step(args):
    net, side = build(args)
    net = net.train().to(args.device, memory_format=layout(args))
    forward = torch.compile(net) if args.compile else net
    if args.network == "uniformer":
        optimizer = torch.optim.AdamW(net.parameters(), lr=2e-4, weight_decay=0.05)
    else:
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    frames = SLOWFAST_FRAMES if args.network == "slowfast" else FRAMES
    images = [torch.randn(args.clips * t, 3, side, side) for t in frames]
    inputs = [x.to(args.device, memory_format=LAYOUT[args.layout]) for x in images]
    labels = torch.zeros(args.clips, dtype=torch.long, device=args.device)

    def step():
        with torch.autocast(args.device, torch.bfloat16, enabled=args.precision == "bf16"):
            logits = [forward(x.view(args.clips, t, *x.shape[1:]), t, t) for x, t in zip(inputs, frames)]
        teacher = F.softmax(logits[-1].detach().float(), -1)
        loss = F.cross_entropy(logits[-1].float(), labels)
        for student in logits[:-1]:
            loss = loss + F.kl_div(F.log_softmax(student.float(), -1), teacher, reduction="batchmean")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def eval_pass(args):
    net, side = build(args)
    net = net.eval().to(args.device, memory_format=layout(args))
    x = torch.randn(args.clips, args.frames, 3, side, side, device=args.device)
    frozen = Frozen(net, args.frames)
    if args.peer in ("onnxruntime", "openvino"):
        return exported(args, frozen, x)
    if args.peer == "inductor":
        torch._inductor.config.freezing = True
        frozen = torch.compile(frozen)

    def run():
        with torch.no_grad(), torch.autocast(args.device, torch.bfloat16, enabled=args.precision == "bf16"):
            frozen(x)

    return run


class Frozen(torch.nn.Module):
    """One branch at one frame count."""

    def __init__(self, net, frames):
        super().__init__()
        self.net, self.frames = net, frames

    def forward(self, x):
        return self.net(x, self.frames, self.frames)


def exported(args, module, x):
    """Through ONNX, which folds the norms; x as a numpy array."""
    import io

    buffer = io.BytesIO()
    torch.onnx.export(module, (x,), buffer, dynamo=False, input_names=["x"], opset_version=17)
    array = x.numpy()
    if args.peer == "onnxruntime":
        if args.precision == "bf16":
            sys.exit("ONNX Runtime has no bf16 convolutions on the CPU")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = args.threads
        session = onnxruntime.InferenceSession(buffer.getvalue(), options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"x": array})
    import openvino

    precision = {"float32": "f32", "bf16": "bf16"}[args.precision]
    hints = {"INFERENCE_NUM_THREADS": args.threads, "INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    buffer.seek(0)
    model = openvino.Core().read_model(model=buffer.getvalue())
    request = openvino.Core().compile_model(model, "CPU", hints).create_infer_request()
    return lambda: request.infer({0: array})


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    # Products of float32 in float32, as ffn computes them, and convolutions that give the same bits every time.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = args.precision != "float32"
    torch.backends.cudnn.deterministic = args.deterministic
    torch.backends.cudnn.benchmark = not args.deterministic
    work = train_step(args) if args.work == "train" else eval_pass(args)
    on_gpu = args.device == "cuda"

    def run():
        work()
        if on_gpu:
            torch.cuda.synchronize()

    run()  # warms up: allocations, compilation, choice of kernels
    seconds, processor = [], []
    for _ in range(args.repeats):
        start, start_processor = time.perf_counter(), time.process_time()
        run()
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_processor)
    peak = torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "processor_seconds": processor, "peak_bytes": peak, "torch": torch.__version__}))


main()
