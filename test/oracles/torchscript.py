"""Makes torchscript/*.pt and torchscript.json: small TorchScript modules, and what they answer in PyTorch (python torchscript.py).

Parameters and inputs are filled by the hash of test/hash-fill.ts, as fill.py has it. Made with PyTorch 2.14.1 on a CPU.
"""

import hashlib
import json
import math
import pathlib

import numpy as np
import torch
from fill import hash_fill, parameter
from torch import nn

here = pathlib.Path(__file__).parent
folder = here / "torchscript"
folder.mkdir(exist_ok=True)


class Small(nn.Module):
    """Two convolutions of stride 2, batch and group norm, and a scale of its own, which no rule of a module draws."""

    def __init__(self, channels=1):
        super().__init__()
        self.conv1 = nn.Conv3d(channels, 4, 3, 2, 1)
        self.norm1 = nn.BatchNorm3d(4)
        self.conv2 = nn.Conv3d(4, 8, 3, 2, 1)
        self.norm2 = nn.GroupNorm(2, 8)
        self.scale = nn.Parameter(torch.ones(8))

    def forward(self, x):
        x = torch.relu(self.norm1(self.conv1(x)))
        x = torch.relu(self.norm2(self.conv2(x)))
        return x.mean((2, 3, 4)) * (1 + self.scale)


class Pyramid(nn.Module):
    """Five maps of strides 2 to 32, as Swin UNETR's encoder returns them."""

    def __init__(self):
        super().__init__()
        widths = [1, 2, 4, 6, 8, 10]
        self.stages = nn.ModuleList([nn.Conv3d(a, b, 3, 2, 1) for a, b in zip(widths, widths[1:])])

    def forward(self, x):
        maps = []
        for stage in self.stages:
            x = torch.tanh(stage(x))
            maps.append(x)
        return maps


class Slices(nn.Module):
    """A vision transformer in miniature: patches of 8 pixels, one attention, a linear layer, the mean over tokens."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 8, 8)
        self.norm = nn.LayerNorm(8)
        self.queries = nn.Linear(8, 24)
        self.out = nn.Linear(8, 8)

    def forward(self, x):
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        q, k, v = self.queries(self.norm(tokens)).chunk(3, -1)
        attention = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(8.0), -1)
        return (tokens + self.out(attention @ v)).mean(1)


class NotANumber(Small):
    def forward(self, x):
        return torch.log(-1 - self.conv2(self.conv1(x)).mean((2, 3, 4)).abs())


class Pair(Small):
    def forward(self, x):
        x = self.conv1(x)
        return x.mean((2, 3, 4)), x


class OneSample(Small):
    """As a traced module that reads its batch size as a number."""

    def forward(self, x):
        return self.conv2(self.conv1(x)).reshape(1, 8, -1).mean(2)


class Throws(Small):
    def forward(self, x):
        if x.size(0) > 0:
            raise ValueError("this module was exported to fail")
        return x


def filled(module):
    state = module.state_dict()
    module.load_state_dict({name: parameter(name, tuple(tensor.shape)) for name, tensor in state.items()})
    return module.eval()


def example(shape):
    name = "volume " + "x".join(map(str, shape))
    x = torch.from_numpy(hash_fill(name, math.prod(shape)).astype(np.float32)).reshape(shape)
    return {"name": name, "shape": list(shape), "scale": 1}, x


def values(tensor):
    return {"shape": list(tensor.shape), "values": [float(f"{v:.8g}") for v in tensor.flatten().tolist()]}


recorded = {}


def keep(name, exported, answer=None):
    path = folder / f"{name}.pt"
    exported.save(str(path))
    recorded[name] = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **(answer or {})}


with torch.no_grad():
    small = filled(Small())
    names = list(small.state_dict())
    given, x = example((2, 1, 9, 12, 16))
    answer = {"input": given, "pooled": values(small(x)), "names": names}
    keep("small-scripted", torch.jit.script(small), answer)
    keep("small-traced", torch.jit.trace(small, torch.zeros(1, 1, 8, 8, 8)), answer)
    keep("small-bfloat16", torch.jit.script(filled(Small()).bfloat16()))
    keep("small-frozen", torch.jit.freeze(torch.jit.script(small)))

    pyramid = filled(Pyramid())
    given, x = example((2, 1, 64, 64, 32))
    maps = pyramid(x)
    keep(
        "pyramid",
        torch.jit.script(pyramid),
        {"input": given, "pooled": values(maps[-1].mean((2, 3, 4))), "stride8": values(maps[2][:, :, ::4, ::4, ::2])},
    )

    slices = filled(Slices())
    given, x = example((2, 3, 4, 16, 24))
    each = slices(x.transpose(1, 2).flatten(0, 1))
    keep("slices", torch.jit.script(slices), {"input": given, "pooled": values(each.view(2, 4, 8).mean(1))})

    keep("not-a-number", torch.jit.script(filled(NotANumber())))
    keep("pair", torch.jit.script(filled(Pair())))
    keep("one-sample", torch.jit.script(filled(OneSample())))
    keep("throws", torch.jit.script(filled(Throws())))

(here / "torchscript.json").write_text(json.dumps(recorded, indent=1) + "\n")
