"""UniFormer (Li et al., ICLR 2022), and the Frame Flexible Network on it (CVPR 2023): private norms, an alteration at the beginning of
each block. Called as `networks.Network`; modules have the official names.
"""

from torch import nn
from torch.nn import functional as F

LAYOUTS = {"uniformer_s": ([64, 128, 320, 512], [3, 4, 8, 3], 64, 4)}


class Branched(nn.Module):
    def __init__(self, branches):
        super().__init__()
        self.branches = branches

    def names(self, name):
        return [f"{name}_{frames}" for frames in self.branches] if self.branches else [name]

    def add(self, name, make):
        for own in self.names(name):
            self.add_module(own, make())

    def own(self, name, branch):
        return getattr(self, f"{name}_{branch}" if self.branches else name)


class Alteration(nn.Conv3d):
    def __init__(self, channels):
        super().__init__(channels, channels, 1, groups=channels, bias=False)

    def forward(self, x):
        return x + super().forward(x)


class Embedding(Branched):
    def __init__(self, inputs, out, first, branches):
        super().__init__(branches)
        sizes = ((3, 4, 4), (2, 4, 4), (1, 0, 0)) if first else ((1, 2, 2), (1, 2, 2), 0)
        self.add("norm", lambda: nn.LayerNorm(out))
        self.proj = nn.Conv3d(inputs, out, *sizes)

    def forward(self, x, branch):
        x = self.proj(x)
        y = self.own("norm", branch)(x.flatten(2).transpose(1, 2))
        return y.transpose(1, 2).reshape(x.shape)


class Block(Branched):
    def __init__(self, channels, branches):
        super().__init__(branches)
        self.pos_embed = nn.Conv3d(channels, channels, 3, padding=1, groups=channels)

    def alter(self):
        if self.branches:
            self.add("adaconv", lambda: Alteration(self.pos_embed.in_channels))

    def position(self, x, branch):
        if self.branches:
            x = self.own("adaconv", branch)(x)
        return x + self.pos_embed(x)


class Local(Block):
    def __init__(self, channels, ratio, branches):
        super().__init__(channels, branches)
        self.add("norm1", lambda: nn.BatchNorm3d(channels))
        self.conv1, self.conv2 = nn.Conv3d(channels, channels, 1), nn.Conv3d(channels, channels, 1)
        self.attn = nn.Conv3d(channels, channels, 5, padding=2, groups=channels)
        self.add("norm2", lambda: nn.BatchNorm3d(channels))
        inner = ratio * channels
        self.mlp = nn.ModuleDict({"fc1": nn.Conv3d(channels, inner, 1), "fc2": nn.Conv3d(inner, channels, 1)})
        self.alter()

    def forward(self, x, branch):
        x = self.position(x, branch)
        x = x + self.conv2(self.attn(self.conv1(self.own("norm1", branch)(x))))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.own("norm2", branch)(x))))


class Attention(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def forward(self, x):
        n, tokens, channels = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).reshape(n, tokens, channels))


class Global(Block):
    def __init__(self, channels, head, ratio, branches):
        super().__init__(channels, branches)
        self.add("norm1", lambda: nn.LayerNorm(channels, eps=1e-6))
        self.attn = Attention(channels, channels // head)
        self.add("norm2", lambda: nn.LayerNorm(channels, eps=1e-6))
        inner = ratio * channels
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(channels, inner), "fc2": nn.Linear(inner, channels)})
        self.alter()

    def forward(self, x, branch):
        x = self.position(x, branch)
        y = x.flatten(2).transpose(1, 2)
        y = y + self.attn(self.own("norm1", branch)(y))
        y = y + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.own("norm2", branch)(y))))
        return y.transpose(1, 2).reshape(x.shape)


class Network(Branched):
    """forward(x, frames, segment): x (batch, frames, 3, height, width); the logits. `segment` says nothing here."""

    def __init__(self, arch, classes, branches, flexible):
        super().__init__(branches if flexible else None)
        widths, depths, head, ratio = LAYOUTS[arch]
        self.counts, inputs = branches, [3, *widths]
        for i in range(4):
            self.add_module(f"patch_embed{i + 1}", Embedding(inputs[i], widths[i], i == 0, self.branches))
        for i, (width, depth) in enumerate(zip(widths, depths)):
            sizes = (width, ratio) if i < 2 else (width, head, ratio)
            kind = Local if i < 2 else Global
            self.add_module(f"blocks{i + 1}", nn.ModuleList(kind(*sizes, self.branches) for _ in range(depth)))
        self.add("norm", lambda: nn.BatchNorm3d(widths[3]))
        self.head = nn.Linear(widths[3], classes)

    def forward(self, x, frames, segment):
        branch = min(reversed(self.counts), key=lambda own: abs(own - frames))
        x = x.transpose(1, 2)
        for i in range(1, 5):
            x = getattr(self, f"patch_embed{i}")(x, branch)
            for block in getattr(self, f"blocks{i}"):
                x = block(x, branch)
        return self.head(self.own("norm", branch)(x).mean((2, 3, 4)))
