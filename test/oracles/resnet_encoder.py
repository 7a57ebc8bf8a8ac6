"""Makes resnet_encoder.json: what 3D ResNets in PyTorch answer (python resnet_encoder.py).

The network is torchvision's `ResNet` (v1.5: the stride is in the middle convolution) with three spatial axes, as
MedicalNet and MONAI have it, who pad the shortcuts of ResNet-18 and -34 with zeros (option A of He et al. 2016), and with
the stem of networks inflated from images, 3x7x7 at stride 1, 2, 2; parameters and inputs are filled by the hash of test/hash-fill.ts and test/parity-inputs.ts.
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


class BasicBlock(nn.Module):
    def __init__(self, inplanes, planes, stride, padded):
        super().__init__()
        self.conv1 = nn.Conv3d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = nn.Conv3d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm3d(planes)
        self.stride, self.planes, self.padded = stride, planes, padded
        self.downsample = None
        if not padded and (stride != 1 or inplanes != planes):
            self.downsample = nn.Sequential(
                nn.Conv3d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm3d(planes)
            )

    def shortcut(self, x):
        if self.downsample is not None:
            return self.downsample(x)
        if not self.padded:
            return x
        pooled = nn.functional.avg_pool3d(x, kernel_size=1, stride=self.stride)
        zeros = torch.zeros(pooled.shape[0], self.planes - pooled.shape[1], *pooled.shape[2:])
        return torch.cat([pooled, zeros], dim=1)

    def forward(self, x):
        out = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, channels, features, blocks, block="bottleneck", shortcut="convolution", stem=None):
        super().__init__()
        stem = {"kernel": [7, 7, 7], "stride": [2, 2, 2], "pool": True, **(stem or {})}
        kernel, stride = tuple(stem["kernel"]), tuple(stem["stride"])
        self.conv1 = nn.Conv3d(channels, features, kernel, stride, tuple(k // 2 for k in kernel), bias=False)
        self.bn1 = nn.BatchNorm3d(features)
        self.maxpool = nn.MaxPool3d(3, 2, 1) if stem["pool"] else nn.Identity()
        inplanes = features
        for stage, count in enumerate(blocks):
            layers = []
            for index in range(count):
                planes = features * 2**stage
                step = 2 if stage > 0 and index == 0 else 1
                if block == "basic":
                    layers.append(BasicBlock(inplanes, planes, step, shortcut == "padding"))
                    inplanes = planes
                else:
                    layers.append(Bottleneck(inplanes, planes, step))
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


# The small networks' names and shapes are those of the full ones but for their sizes.
bottlenecks = {"channels": 2, "features": 4, "blocks": [2, 1, 1, 2]}
basic = {"channels": 1, "features": 4, "blocks": [2, 2, 1, 1], "block": "basic"}
inflated = {**bottlenecks, "stem": {"kernel": [3, 7, 7], "stride": [1, 2, 2]}}
unpooled = {**basic, "stem": {"kernel": [3, 5, 5], "stride": [1, 2, 2], "pool": False}}


def main():
    small = case(bottlenecks, [(2, 2, 33, 20, 47), (1, 2, 16, 64, 32)])
    others = [
        case(encoder, [(2, encoder["channels"], 19, 40, 33)])
        for encoder in (basic, {**basic, "shortcut": "padding"}, inflated, unpooled)
    ]
    full = case({"channels": 3, "features": 64, "blocks": [3, 4, 6, 3]}, [(1, 3, 40, 64, 33)])
    del full["shapes"]
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps({"small": small, "others": others, "full": full}, indent=1) + "\n")


if __name__ == "__main__":
    main()
