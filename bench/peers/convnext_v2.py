"""ConvNeXt V2 (Woo et al. 2023) in three dimensions, as ProFound publishes it, written anew.

Stem of 4 x 4 x 4, four stages, downsampling by 2, 2 and 1 between them. Parameters are named as in the published
checkpoints. Layer norm over channels is written out where the memory is channels-first, as in the published code.
"""

import torch
from torch import nn


class ChannelNorm(nn.Module):
    """Layer norm over the channels of [N, C, D, H, W]."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt(variance + 1e-6)
        return self.weight[:, None, None, None] * x + self.bias[:, None, None, None]


class GlobalResponseNorm(nn.Module):
    """Over [N, D, H, W, C]."""

    def __init__(self, channels: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, 1, channels))

    def forward(self, x):
        norm = torch.linalg.vector_norm(x, dim=(1, 2, 3), keepdim=True)
        relative = norm / (norm.mean(-1, keepdim=True) + 1e-6)
        return self.gamma * (x * relative) + self.beta + x


class Block(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.dwconv = nn.Conv3d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.act = nn.GELU()
        self.grn = GlobalResponseNorm(4 * dim)
        self.pwconv2 = nn.Linear(4 * dim, dim)

    def forward(self, x):
        y = self.dwconv(x).permute(0, 2, 3, 4, 1)  # [N, D, H, W, C]
        y = self.pwconv2(self.grn(self.act(self.pwconv1(self.norm(y)))))
        return x + y.permute(0, 4, 1, 2, 3)


class ConvNeXtV2(nn.Module):
    """The encoder: [N, channels, D, H, W] -> pooled features [N, dims[3]] after the final norm."""

    def __init__(self, channels: int, depths, dims):
        super().__init__()
        self.downsample_layers = nn.ModuleList([nn.Sequential(nn.Conv3d(channels, dims[0], 4, 4), ChannelNorm(dims[0]))])
        for stage in range(3):
            stride = 1 if stage == 2 else 2
            self.downsample_layers.append(
                nn.Sequential(ChannelNorm(dims[stage]), nn.Conv3d(dims[stage], dims[stage + 1], stride, stride))
            )
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(dim) for _ in range(depth))) for depth, dim in zip(depths, dims)
        )
        self.norm = nn.LayerNorm(dims[-1], eps=1e-6)

    def forward(self, x):
        for downsample, stage in zip(self.downsample_layers, self.stages):
            x = stage(downsample(x))
        return self.norm(x.mean((2, 3, 4)))
