"""SlowFast (Feichtenhofer et al., ICCV 2019), and the Frame Flexible Network on it (CVPR 2023). Called as `networks.Network`; modules have
the official names.
"""

import torch
from torch import nn
from torch.nn import functional as F

LAYOUTS = {"slowfast_r50": ([3, 4, 6, 3], 64, 4, 8, 2, 7)}


class Branched(nn.Module):
    """As `networks.Branched`, with norms over clips; a branch is called after its slow frames."""

    def __init__(self, branches, alpha):
        super().__init__()
        self.branches, self.alpha = branches, alpha

    def names(self, name):
        return [f"{name}_{frames // self.alpha}" for frames in self.branches] if self.branches else [name]

    def add_norm(self, name, channels):
        for own in self.names(name):
            self.add_module(own, nn.BatchNorm3d(channels))

    def own(self, name, branch):
        return getattr(self, f"{name}_{branch // self.alpha}" if self.branches else name)


class Alteration(nn.Conv3d):
    """x + w * x for each channel."""

    def __init__(self, channels):
        super().__init__(channels, channels, 1, groups=channels, bias=False)

    def forward(self, x):
        return x + super().forward(x)


class Stem(Branched):
    def __init__(self, out, time, branches, alpha):
        super().__init__(branches, alpha)
        self.conv = nn.Conv3d(3, out, (time, 7, 7), (1, 2, 2), (time // 2, 3, 3), bias=False)
        self.add_norm("bn", out)

    def forward(self, x, branch):
        x = F.relu(self.own("bn", branch)(self.conv(x)))
        return F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))


class Fuse(Branched):
    def __init__(self, channels, ratio, kernel, branches, alpha):
        super().__init__(branches, alpha)
        out = channels * ratio
        self.conv_f2s = nn.Conv3d(channels, out, (kernel, 1, 1), (alpha, 1, 1), (kernel // 2, 0, 0), bias=False)
        self.add_norm("bn", out)

    def forward(self, slow, fast, branch):
        return torch.cat([slow, F.relu(self.own("bn", branch)(self.conv_f2s(fast)))], 1)


class Branch2(Branched):
    def __init__(self, inputs, inner, out, time, stride, branches, alpha):
        super().__init__(branches, alpha)
        self.a = nn.Conv3d(inputs, inner, (time, 1, 1), 1, (time // 2, 0, 0), bias=False)
        self.b = nn.Conv3d(inner, inner, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)
        self.c = nn.Conv3d(inner, out, 1, bias=False)
        for name, channels in [("a_bn", inner), ("b_bn", inner), ("c_bn", out)]:
            self.add_norm(name, channels)
        for name in self.names("adaconv") if branches else []:
            self.add_module(name, Alteration(inputs))

    def forward(self, x, branch):
        if self.branches:
            x = self.own("adaconv", branch)(x)
        x = F.relu(self.own("a_bn", branch)(self.a(x)))
        x = F.relu(self.own("b_bn", branch)(self.b(x)))
        return self.own("c_bn", branch)(self.c(x))


class Block(Branched):
    def __init__(self, inputs, inner, time, stride, first, branches, alpha):
        super().__init__(branches, alpha)
        self.first = first
        if first:
            self.branch1 = nn.Conv3d(inputs, 4 * inner, 1, (1, stride, stride), bias=False)
            self.add_norm("branch1_bn", 4 * inner)
        self.branch2 = Branch2(inputs, inner, 4 * inner, time, stride, branches, alpha)

    def forward(self, x, branch):
        y = self.branch2(x, branch)
        if self.first:
            x = self.own("branch1_bn", branch)(self.branch1(x))
        return F.relu(x + y)


class Network(nn.Module):
    """forward(x, frames, segment): x (batch, frames, 3, height, width); the logits. `segment` says nothing here."""

    def __init__(self, arch, classes, branches, flexible):
        super().__init__()
        blocks, width, alpha, beta, ratio, kernel = LAYOUTS[arch]
        self.branches, self.alpha, self.blocks = branches, alpha, blocks
        private = branches if flexible else None
        self.s1 = nn.ModuleDict()
        for path, (channels, time) in enumerate([(width, 1), (width // beta, 5)]):
            self.s1[f"pathway{path}_stem"] = Stem(channels, time, private, alpha)
        self.s1_fuse = Fuse(width // beta, ratio, kernel, private, alpha)
        inputs = [width + width // beta * ratio, width // beta]
        for stage, count in enumerate(blocks):
            layer = nn.ModuleDict()
            for path in range(2):
                inner = (width if path == 0 else width // beta) << stage
                time = 1 if path == 0 and stage < 2 else 3
                for i in range(count):
                    stride = 2 if stage and not i else 1
                    block = Block(inputs[path], inner, time, stride, not i, private, alpha)
                    layer[f"pathway{path}_res{i}"] = block
                    inputs[path] = 4 * inner
            self.add_module(f"s{stage + 2}", layer)
            if stage + 1 < len(blocks):
                self.add_module(f"s{stage + 2}_fuse", Fuse(inputs[1], ratio, kernel, private, alpha))
                inputs[0] += inputs[1] * ratio
        self.head = nn.ModuleDict({"projection": nn.Linear(sum(inputs), classes)})

    def forward(self, x, frames, segment):
        branch = min(reversed(self.branches), key=lambda own: abs(own - frames))
        fast = x.transpose(1, 2)
        count = frames // self.alpha
        slow = fast[:, :, [i * (frames - 1) // max(count - 1, 1) for i in range(count)]]
        slow = self.s1["pathway0_stem"](slow, branch)
        fast = self.s1["pathway1_stem"](fast, branch)
        slow = self.s1_fuse(slow, fast, branch)
        for stage, count in enumerate(self.blocks):
            layer = getattr(self, f"s{stage + 2}")
            for i in range(count):
                slow = layer[f"pathway0_res{i}"](slow, branch)
                fast = layer[f"pathway1_res{i}"](fast, branch)
            if stage + 1 < len(self.blocks):
                slow = getattr(self, f"s{stage + 2}_fuse")(slow, fast, branch)
        return self.head["projection"](torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], 1))
