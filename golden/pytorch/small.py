"""A network of one's own in a golden bundle: book/src/golden_walkthrough.md goes through it.

    python small.py small.json --out DIR
"""

from collections import OrderedDict

from torch import nn

import bundle
from networks import Shift


class Block(nn.Module):
    """A basic residual block that shifts its whole input."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.shift = Shift()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = nn.Identity()
        if stride > 1 or inputs != width:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.relu = nn.ReLU()

    def forward(self, x):
        x = self.shift(x)
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + self.downsample(x))


class Small(nn.Module):
    """Three stages of one block each, for small images."""

    def __init__(self, classes):
        super().__init__()
        layers = OrderedDict(
            conv1=nn.Conv2d(3, 16, 3, 1, 1, bias=False),
            bn1=nn.BatchNorm2d(16),
            relu=nn.ReLU(),
            layer1=nn.Sequential(Block(16, 16, 1)),
            layer2=nn.Sequential(Block(16, 32, 2)),
            layer3=nn.Sequential(Block(32, 64, 2)),
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
        )
        self.base_model = nn.Sequential(layers)
        self.new_fc = nn.Linear(64, classes)

    def forward(self, x, frames, segment):
        for module in self.modules():
            if isinstance(module, Shift):
                module.segment = segment
        logits = self.new_fc(self.base_model(x.flatten(0, 1)))
        return logits.view(-1, frames, logits.shape[-1]).mean(1)


if __name__ == "__main__":
    bundle.main(build=lambda case: Small(classes=8))
