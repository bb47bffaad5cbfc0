"""TEA (Li et al., CVPR 2020) on a Res2Net (Gao et al., TPAMI 2019), and the Frame Flexible Network on it (CVPR 2023): private norms,
no alteration. Called as `networks.Network`; modules have the official names.
"""

import torch
from torch import nn
from torch.nn import functional as F

import networks

LAYOUTS = {"res2net50_26w_4s": ([3, 4, 6, 3], 64, 26)}
PARTS = 4


class Segments:
    """Frames of a clip for what mixes along time, set before every forward pass."""

    segment = 1

    def clips(self, x):
        return x.view(-1, self.segment, *x.shape[1:])


class Temporal(nn.Module, Segments):
    """A convolution along time with a kernel of three for each channel."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 3, padding=1, groups=channels, bias=False)

    def forward(self, x):
        clips = self.clips(x)
        n, t, c, h, w = clips.shape
        y = self.conv(clips.permute(0, 3, 4, 2, 1).reshape(n * h * w, c, t))
        return y.view(n, h, w, c, t).permute(0, 4, 3, 1, 2).reshape(x.shape)


class MotionExcitation(networks.Branched, Segments):
    """x (1/2 + sigmoid g), g of the differences between neighbouring frames."""

    def __init__(self, channels, branches):
        super().__init__(branches)
        reduced = channels // 16
        self.conv1 = nn.Conv2d(channels, reduced, 1, bias=False)
        self.add_norm("bn1", reduced)
        self.conv2 = nn.Conv2d(reduced, reduced, 3, padding=1, groups=reduced, bias=False)
        self.conv3 = nn.Conv2d(reduced, channels, 1, bias=False)
        self.add_norm("bn3", channels)

    def forward(self, x, branch):
        b = self.own("bn1", branch)(self.conv1(x))
        later, here = self.clips(self.conv2(b))[:, 1:], self.clips(b)[:, :-1]
        d = F.pad(later - here, (0, 0, 0, 0, 0, 0, 0, 1)).reshape(b.shape)
        g = self.own("bn3", branch)(self.conv3(d.mean((2, 3), keepdim=True)))
        return x + x * (torch.sigmoid(g) - 0.5)


class Block(networks.Branched):
    def __init__(self, inputs, planes, width, stride, first, branches):
        super().__init__(branches)
        channels, self.width, self.first, self.stride = PARTS * width, width, first, stride
        self.me = MotionExcitation(channels, branches)
        self.conv1 = nn.Conv2d(inputs, channels, 1, bias=False)
        self.add_norm("bn1", channels)
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, stride, 1, bias=False) for _ in range(PARTS - 1))
        for suffix in self.suffixes():
            self.add_module("bns" + suffix, nn.ModuleList(nn.BatchNorm2d(width) for _ in range(PARTS - 1)))
        self.shifts = nn.ModuleList(Temporal(width) for _ in range(PARTS))
        self.conv3 = nn.Conv2d(channels, 4 * planes, 1, bias=False)
        self.add_norm("bn3", 4 * planes)
        if first:
            projection = nn.Conv2d(inputs, 4 * planes, 1, stride, bias=False)
            if branches:
                self.downsample_conv = projection
                self.add_norm("downsample_bn", 4 * planes)
            else:
                self.downsample = nn.Sequential(projection, nn.BatchNorm2d(4 * planes))

    def forward(self, x, branch):
        a = F.relu(self.own("bn1", branch)(self.conv1(x)))
        parts, outputs = torch.split(self.me(a, branch), self.width, 1), []
        for i in range(PARTS - 1):
            u = parts[i] if i == 0 or self.first else parts[i] + outputs[-1]
            y = self.convs[i](self.shifts[i](u))
            outputs.append(F.relu(self.own("bns", branch)[i](y)))
        last = self.shifts[PARTS - 1](parts[-1])
        outputs.append(F.avg_pool2d(last, 3, self.stride, 1) if self.first else last)
        y = self.own("bn3", branch)(self.conv3(torch.cat(outputs, 1)))
        if self.first:
            x = self.own("downsample_bn", branch)(self.downsample_conv(x)) if self.branches else self.downsample(x)
        return F.relu(y + x)


class Res2Net(networks.Branched):
    def __init__(self, blocks, planes, width, branches):
        super().__init__(branches)
        self.conv1 = nn.Conv2d(3, planes, 7, 2, 3, bias=False)
        self.add_norm("bn1", planes)
        channels = planes
        for stage, count in enumerate(blocks):
            wide = planes << stage
            part = width * wide // 64
            layer = nn.ModuleList()
            for i in range(count):
                layer.append(Block(channels, wide, part, 2 if stage and not i else 1, not i, branches))
                channels = 4 * wide
            self.add_module(f"layer{stage + 1}", layer)
        self.stages, self.features = len(blocks), channels

    def forward(self, x, branch):
        x = F.max_pool2d(F.relu(self.own("bn1", branch)(self.conv1(x))), 3, 2, 1)
        for stage in range(self.stages):
            for block in getattr(self, f"layer{stage + 1}"):
                x = block(x, branch)
        return x.mean((2, 3))


class Network(nn.Module):
    """forward(x, frames, segment): as `networks.Network`; `segment`: frames that count as one clip along time."""

    def __init__(self, arch, classes, branches, flexible):
        super().__init__()
        self.branches = branches
        self.base_model = Res2Net(*LAYOUTS[arch], branches if flexible else None)
        self.new_fc = nn.Linear(self.base_model.features, classes)

    def forward(self, x, frames, segment):
        for module in self.modules():
            if isinstance(module, Segments):
                module.segment = segment
        branch = min(reversed(self.branches), key=lambda own: abs(own - frames))
        logits = self.new_fc(self.base_model(x.flatten(0, 1), branch))
        return logits.view(-1, frames, logits.shape[-1]).mean(1)
