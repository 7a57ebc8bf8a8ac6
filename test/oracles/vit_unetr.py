"""Makes vit_unetr.json: what UNETR's decoder on a vision transformer's tokens answers in PyTorch (python vit_unetr.py).

The decoder is that of UNETR (Hatamizadeh 2022) with MONAI's residual blocks, over slices: tokens of four depths, each
spread by a transposed convolution over the voxels of a level and, where the patch is no multiple of its stride, resized;
an input block at full size. Parameters and inputs are filled by the hash of test/hash-fill.ts. Numbers were made with
PyTorch 2.14.1 on a CPU in float64.
"""

import json
import math
import pathlib

import torch
from fill import hash_fill, parameter
from torch import nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        conv = lambda i, o, k: nn.ModuleDict({"conv": nn.Conv3d(i, o, k, padding=k // 2, bias=False)})
        self.conv1, self.conv2 = conv(inputs, outputs, 3), conv(outputs, outputs, 3)
        if inputs != outputs:
            self.conv3 = conv(inputs, outputs, 1)

    def forward(self, x):
        y = F.leaky_relu(F.instance_norm(self.conv1["conv"](x)), 0.01)
        y = F.instance_norm(self.conv2["conv"](y))
        shortcut = F.instance_norm(self.conv3["conv"](x)) if hasattr(self, "conv3") else x
        return F.leaky_relu(y + shortcut, 0.01)


def transposed(inputs, outputs, factor):
    size = (1, factor, factor)
    return nn.ConvTranspose3d(inputs, outputs, size, stride=size, bias=False)


class Decoder(nn.Module):
    def __init__(self, features, channels, patch, size, outputs):
        super().__init__()
        up = math.ceil
        # Tokens from the shallowest on: at half, a quarter, an eighth and an eighth of the slice's size.
        self.spread0 = transposed(features, 2 * size, up(patch / 2))
        self.spread1 = transposed(features, 4 * size, up(patch / 4))
        self.spread2 = transposed(features, 8 * size, up(patch / 8))
        self.spread3 = transposed(features, 8 * size, up(patch / 8))
        self.skip = ResidualBlock(channels, size)
        self.refine0 = ResidualBlock(16 * size, 8 * size)
        self.up1, self.refine1 = transposed(8 * size, 4 * size, 2), ResidualBlock(8 * size, 4 * size)
        self.up2, self.refine2 = transposed(4 * size, 2 * size, 2), ResidualBlock(4 * size, 2 * size)
        self.up3, self.refine3 = transposed(2 * size, size, 2), ResidualBlock(2 * size, size)
        self.out = nn.Conv3d(size, outputs, 1)

    def forward(self, tokens, slices):
        depth, height, width = slices.shape[2:]

        def fit(x, stride):
            size = (depth, math.ceil(height / stride), math.ceil(width / stride))
            return F.interpolate(x, size=size, mode="trilinear", align_corners=False)

        first, second, third, fourth = (grid.transpose(1, 2) for grid in tokens)
        join = lambda a, b: torch.cat([a, b], 1)
        x = self.refine0(join(fit(self.spread3(fourth), 8), fit(self.spread2(third), 8)))
        x = self.refine1(join(fit(self.up1(x), 4), fit(self.spread1(second), 4)))
        x = self.refine2(join(fit(self.up2(x), 2), fit(self.spread0(first), 2)))
        x = self.refine3(join(fit(self.up3(x), 1), self.skip(slices)))
        return self.out(x)


def answer_of(patch, height, width):
    features, channels, size, outputs, depth = 24, 3, 2, 2, 3
    decoder = Decoder(features, channels, patch, size, outputs).double()
    state = {name: parameter(f"head.{name}", value.shape).double() for name, value in decoder.state_dict().items()}
    decoder.load_state_dict(state)
    filled = lambda name, shape: torch.from_numpy(hash_fill(name, math.prod(shape))).reshape(shape)
    grid = [1, depth, features, math.ceil(height / patch), math.ceil(width / patch)]
    tokens = [filled(f"tokens{index}", grid) for index in range(4)]
    slices = filled("slices", [1, channels, depth, height, width])
    with torch.no_grad():
        answer = decoder(tokens, slices).flatten()
    step = max(1, answer.numel() // 60)
    return {
        "patch": patch,
        "shape": [1, outputs, depth, height, width],
        "step": step,
        "values": [float(f"{value:.9g}") for value in answer[::step].tolist()],
        "norm": answer.norm().item(),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    recorded = [answer_of(8, 24, 16), answer_of(14, 20, 37)]
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(recorded) + "\n")
