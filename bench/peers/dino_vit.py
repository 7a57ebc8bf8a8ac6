"""ProViCNet's encoder, written anew: DINOv2's vision transformer (Oquab et al. 2024) with registers (Darcet et al. 2024)
and two tokens that say where the slice lies. Attention is torch's scaled_dot_product_attention."""

import torch
from torch import nn
from torch.nn import functional

GRID = 37  # the position embedding is stored for 518 pixels in patches of 14


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).reshape(batch, tokens, dim))


class LayerScale(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * self.gamma


class Perceptron(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x):
        return self.fc2(functional.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.ls1 = LayerScale(dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Perceptron(dim)
        self.ls2 = LayerScale(dim)

    def forward(self, x):
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbedding(nn.Module):
    def __init__(self, channels: int, dim: int, patch: int):
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, patch, patch)

    def forward(self, x):
        return self.proj(x)


class Backbone(nn.Module):
    def __init__(self, channels: int, patch: int, dim: int, depth: int, heads: int, registers: int):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + GRID * GRID, dim))
        self.register_tokens = nn.Parameter(torch.zeros(1, registers, dim))
        self.patch_embed = PatchEmbedding(channels, dim, patch)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def position(self, rows: int, columns: int):
        grid = self.pos_embed[:, 1:].reshape(1, GRID, GRID, -1).permute(0, 3, 1, 2)
        resized = functional.interpolate(grid, (rows, columns), mode="bicubic", antialias=True)
        return torch.cat([self.pos_embed[:, :1], resized.flatten(2).transpose(1, 2)], 1)

    def forward(self, x, extra):
        patches = self.patch_embed(x)  # [N, E, rows, columns]
        batch = x.shape[0]
        position = self.position(patches.shape[2], patches.shape[3])
        tokens = torch.cat(
            [
                (self.cls_token + position[:, :1]).expand(batch, -1, -1),
                self.register_tokens.expand(batch, -1, -1),
                extra,
                patches.flatten(2).transpose(1, 2) + position[:, 1:],
            ],
            1,
        )
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)


class DinoVit(nn.Module):
    """Slices [N, channels, H, W] and positions [N, 2] -> the mean of the patch tokens [N, dim]."""

    def __init__(self, channels: int, patch: int, dim: int, depth: int, heads: int, registers: int):
        super().__init__()
        self.skipped = 1 + registers + 2
        self.backbone = Backbone(channels, patch, dim, depth, heads, registers)
        self.axis_pos = nn.Linear(1, dim)
        self.axis_max = nn.Linear(1, dim)

    def forward(self, slices, position):
        axis = torch.stack([self.axis_pos(position[:, :1]), self.axis_max(position[:, 1:])], 1)
        return self.backbone(slices, axis)[:, self.skipped :].mean(1)
