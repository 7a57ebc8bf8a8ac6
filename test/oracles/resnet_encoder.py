"""Makes resnet_encoder.json: what a 3D ResNet of bottleneck blocks in PyTorch answers (python resnet_encoder.py).

The network is torchvision's `ResNet` (v1.5: the stride is in the middle convolution) with three spatial axes, as
MedicalNet and MONAI have it; parameters and inputs are filled by the hash of test/hash-fill.ts and test/parity-inputs.ts.
Numbers were made with PyTorch 2.14.1 on a CPU in float32.
"""

import json
import math
import pathlib

import numpy as np
import torch
from fill import hash_fill, parameter
from torch import nn


class Bottleneck(nn.Module):
    def __init__(self, inplanes, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv3d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = nn.Conv3d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm3d(planes)
        self.conv3 = nn.Conv3d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(4 * planes)
        self.downsample = None
        if stride != 1 or inplanes != 4 * planes:
            self.downsample = nn.Sequential(
                nn.Conv3d(inplanes, 4 * planes, 1, stride, bias=False), nn.BatchNorm3d(4 * planes)
            )

    def forward(self, x):
        out = torch.relu(self.bn1(self.conv1(x)))
        out = torch.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return torch.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, channels, features, blocks):
        super().__init__()
        self.conv1 = nn.Conv3d(channels, features, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm3d(features)
        self.maxpool = nn.MaxPool3d(3, 2, 1)
        inplanes = features
        for stage, count in enumerate(blocks):
            layers = []
            for block in range(count):
                planes = features * 2**stage
                layers.append(Bottleneck(inplanes, planes, 2 if stage > 0 and block == 0 else 1))
                inplanes = 4 * planes
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        stages = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            stages.append(x)
        return stages, x.mean((2, 3, 4))


def sample(tensor, count=24):
    flat = tensor.double().flatten()
    index = [i * len(flat) // count for i in range(count)]
    return {
        "shape": list(tensor.shape),
        "mean": flat.mean().item(),
        "std": flat.std(unbiased=False).item(),
        "l2": flat.norm().item(),
        "index": index,
        "value": [float(f"{flat[i].item():.8g}") for i in index],
    }


def case(encoder, shapes):
    network = ResNet(**encoder).eval()
    state = network.state_dict()
    network.load_state_dict({name: parameter(name, tuple(tensor.shape)) for name, tensor in state.items()})
    answers = []
    for shape in shapes:
        name = "volume " + "x".join(map(str, shape))
        x = torch.from_numpy(hash_fill(name, math.prod(shape)).astype(np.float32)).reshape(shape)
        with torch.no_grad():
            stages, pooled = network(x)
        answers.append(
            {
                "input": {"name": name, "shape": list(shape), "scale": 1},
                "stages": [sample(stage) for stage in stages],
                "pooled": sample(pooled),
            }
        )
    return {
        "encoder": {"family": "resnet-3d", **encoder},
        "tensors": len(state),
        "parameters": sum(p.numel() for p in network.parameters()),
        "shapes": {name: list(tensor.shape) for name, tensor in state.items()},
        "answers": answers,
    }


# The small network's names and shapes are those of the full one but for their sizes.
small = case({"channels": 2, "features": 4, "blocks": [2, 1, 1, 2]}, [(2, 2, 33, 20, 47), (1, 2, 16, 64, 32)])
full = case({"channels": 3, "features": 64, "blocks": [3, 4, 6, 3]}, [(1, 3, 40, 64, 33)])
path = pathlib.Path(__file__).with_suffix(".json")
del full["shapes"]
path.write_text(json.dumps({"small": small, "full": full}, indent=1) + "\n")
