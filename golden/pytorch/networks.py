"""TSM (Lin, Gan, Han, ICCV 2019) on a ResNet (He et al., CVPR 2016), and the Frame Flexible Network on it (CVPR 2023).

A network is called as net(x, frames, segment): x (batch, frames, 3, height, width) -> logits (batch, classes). Modules have
the official names, so that a tensor's name here is its name in a checkpoint and in a bundle.
"""

import torch
from torch import nn

LAYOUTS = {
    "resnet18": ([2, 2, 2, 2], False, 64),
    "resnet34": ([3, 4, 6, 3], False, 64),
    "resnet50": ([3, 4, 6, 3], True, 64),
    "resnet101": ([3, 4, 23, 3], True, 64),
    "miniature": ([1, 1, 1], False, 24),
}


class Shift(nn.Module):
    """Of the channels 1/div come from the next frame, 1/div from the previous one, zero at the clip's ends."""

    div = 8
    segment = 1  # frames of a clip, set before every forward pass

    def forward(self, x):
        clips = x.view(-1, self.segment, *x.shape[1:])
        fold = x.shape[1] // self.div
        out = torch.zeros_like(clips)
        out[:, :-1, :fold] = clips[:, 1:, :fold]
        out[:, 1:, fold : 2 * fold] = clips[:, :-1, fold : 2 * fold]
        out[:, :, 2 * fold :] = clips[:, :, 2 * fold :]
        return out.view(x.shape)


class Alteration(nn.Conv2d):
    """x + w * x: a depthwise 1x1 convolution with a residual."""

    def __init__(self, channels):
        super().__init__(channels, channels, 1, groups=channels, bias=False)

    def forward(self, x):
        return x + super().forward(x)


class Branched(nn.Module):
    """A module whose norms are private to a frame count: `bn1_4`, `bn1_8`, ...; with `branches` None there is one `bn1`."""

    def __init__(self, branches):
        super().__init__()
        self.branches = branches

    def add_norm(self, name, channels):
        for suffix in self.suffixes():
            self.add_module(name + suffix, nn.BatchNorm2d(channels))

    def suffixes(self):
        return [f"_{frames}" for frames in self.branches] if self.branches else [""]

    def own(self, name, branch):
        return getattr(self, f"{name}_{branch}" if self.branches else name)


class Block(Branched):
    """y = relu(F(alter(shift(x))) + shortcut(x)); a bottleneck's stride is on its 3x3 convolution."""

    def __init__(self, inputs, width, stride, bottleneck, shifts, branches):
        super().__init__(branches)
        outputs = 4 * width if bottleneck else width
        sizes = [(1, 1, width), (3, stride, width), (1, 1, outputs)] if bottleneck else [(3, stride, width), (3, 1, width)]
        self.shift = Shift() if shifts else nn.Identity()
        self.convs = len(sizes)
        channels = inputs
        for i, (kernel, step, out) in enumerate(sizes, start=1):
            self.add_module(f"conv{i}", nn.Conv2d(channels, out, kernel, step, kernel // 2, bias=False))
            self.add_norm(f"bn{i}", out)
            self.add_module(f"relu{i}", nn.ReLU())
            channels = out
        self.projects = stride > 1 or inputs != outputs
        if self.projects:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            if branches:
                self.downsample_conv = projection
                self.add_norm("downsample_bn", outputs)
            else:
                self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))
        for frames in branches or []:
            self.add_module(f"adaconv_{frames}", Alteration(inputs))
        self.add, self.relu = nn.Identity(), nn.ReLU()

    def forward(self, x, branch):
        y = self.shift(x)
        if self.branches:
            y = self.own("adaconv", branch)(y)
        for i in range(1, self.convs + 1):
            y = self.own(f"bn{i}", branch)(getattr(self, f"conv{i}")(y))
            y = getattr(self, f"relu{i}")(y) if i < self.convs else y
        if self.projects:
            x = self.own("downsample_bn", branch)(self.downsample_conv(x)) if self.branches else self.downsample(x)
        return self.relu(self.add(y + x))


class ResNet(Branched):
    def __init__(self, blocks, bottleneck, width, branches):
        super().__init__(branches)
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.add_norm("bn1", width)
        self.relu, self.maxpool = nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        every = 2 if blocks[2] >= 23 else 1  # of a deep network only every second block shifts
        channels = width
        for stage, count in enumerate(blocks):
            layer = nn.ModuleList()
            for i in range(count):
                stride = 2 if stage and not i else 1
                layer.append(Block(channels, width << stage, stride, bottleneck, i % every == 0, branches))
                channels = (width << stage) * (4 if bottleneck else 1)
            self.add_module(f"layer{stage + 1}", layer)
        self.stages, self.features = len(blocks), channels
        self.avgpool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x, branch):
        x = self.maxpool(self.relu(self.own("bn1", branch)(self.conv1(x))))
        for stage in range(self.stages):
            for block in getattr(self, f"layer{stage + 1}"):
                x = block(x, branch)
        return self.avgpool(x).flatten(1)


class Network(nn.Module):
    """forward(x, frames, segment): x (batch, frames, 3, height, width) -> logits (batch, classes), averaged over frames.
    The shift works in groups of `segment` frames."""

    def __init__(self, arch, classes, branches, flexible):
        super().__init__()
        self.branches = branches
        self.base_model = ResNet(*LAYOUTS[arch], branches if flexible else None)
        self.new_fc = nn.Linear(self.base_model.features, classes)
        self.consensus = nn.Identity()

    def forward(self, x, frames, segment):
        for module in self.modules():
            if isinstance(module, Shift):
                module.segment = segment
        # A frame count without a branch of its own takes the nearest, ties to the larger.
        branch = min(reversed(self.branches), key=lambda own: abs(own - frames))
        logits = self.new_fc(self.base_model(x.flatten(0, 1), branch))
        return self.consensus(logits.view(-1, frames, logits.shape[-1]).mean(1))


def network(case):
    """The network of a case, with random weights; norms differ from the usual ones and zeros, so that none is mistaken."""
    torch.manual_seed(0)
    net = Network(case["arch"], case["classes"], case["branches"], case["method"] == "ffn")
    for name, tensor in net.state_dict().items():
        if tensor.dim() == 1:
            tensor.uniform_(0.8, 1.2) if name.endswith(("weight", "var")) else tensor.uniform_(-0.2, 0.2)
    return net
