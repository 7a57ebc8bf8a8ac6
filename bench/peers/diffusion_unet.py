"""The U-Net of denoising diffusion (Ho et al. 2020) in three dimensions, as the package has it, written anew.

One block a level on either way and two at the coarsest, no self-attention. The input's last channel holds the time t / T.
"""

import math

import torch
from torch import nn
from torch.nn import functional


def norm_over_groups(channels: int):
    groups = math.gcd(channels, 32)
    while groups > 1 and channels // groups < 4:
        groups //= 2
    return nn.GroupNorm(groups, channels)


def convolution(channels: int, out: int, kernel: int):
    return nn.Conv3d(channels, out, kernel, padding=kernel // 2, bias=False)


class TimedBlock(nn.Module):
    def __init__(self, channels: int, out: int, time: int):
        super().__init__()
        self.norm1 = norm_over_groups(channels)
        self.conv1 = convolution(channels, out, 3)
        self.time = nn.Linear(time, out)
        self.norm2 = norm_over_groups(out)
        self.conv2 = convolution(out, out, 3)
        self.shortcut = convolution(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x, time):
        y = self.conv1(functional.silu(self.norm1(x)))
        y = y + self.time(functional.silu(time))[:, :, None, None, None]
        return self.conv2(functional.silu(self.norm2(y))) + self.shortcut(x)


class DiffusionUNet(nn.Module):
    """[N, channels, D, H, W] -> [N, outputs, D, H, W]; the axes are multiples of 2^(levels - 1)."""

    def __init__(self, channels: int, outputs: int, features: int, levels: int):
        super().__init__()
        self.features, self.levels = features, levels
        time = 4 * features
        self.time1 = nn.Linear(features, time)
        self.time2 = nn.Linear(time, time)
        self.add_module("in", convolution(channels - 1, features, 3))
        width = features
        for level in range(levels):
            if level > 0:
                setattr(self, f"shrink{level}", nn.Conv3d(width, width, 3, stride=2, padding=1))
            setattr(self, f"down{level}", TimedBlock(width, features << level, time))
            width = features << level
        self.middle = TimedBlock(width, width, time)
        for level in reversed(range(levels - 1)):
            out = features << level
            setattr(self, f"enlarge{level}", convolution(width, out, 3))
            setattr(self, f"up{level}", TimedBlock(2 * out, out, time))
            width = out
        self.norm = norm_over_groups(width)
        self.out = nn.Conv3d(width, outputs, 1)

    def embedded(self, steps):
        half = self.features // 2
        frequencies = torch.exp(torch.arange(half, dtype=steps.dtype, device=steps.device) * (-math.log(10000) / (half - 1)))
        angles = steps[:, None] * frequencies
        sinusoids = torch.cat([angles.sin(), angles.cos()], 1)
        return self.time2(functional.silu(self.time1(sinusoids)))

    def forward(self, x):
        time = self.embedded(1000 * x[:, -1].flatten(1)[:, 0])
        x = getattr(self, "in")(x[:, :-1])
        skips = []
        for level in range(self.levels):
            if level > 0:
                x = getattr(self, f"shrink{level}")(x)
            x = getattr(self, f"down{level}")(x, time)
            skips.append(x)
        x = self.middle(x, time)
        for level in reversed(range(self.levels - 1)):
            x = getattr(self, f"enlarge{level}")(functional.interpolate(x, size=skips[level].shape[2:]))
            x = getattr(self, f"up{level}")(torch.cat([x, skips[level]], 1), time)
        return self.out(functional.silu(self.norm(x)))
