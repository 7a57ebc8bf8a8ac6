"""Makes encoder_families.json: what nnU-Net's residual encoder, MONAI's Swin UNETR and its DenseNet answer, and their gradients.

`python encoder_families.py` with dynamic-network-architectures 0.4.4 and MONAI 1.6.1, and once more with MONAI 1.3.2, whose
merging of patches takes two corners twice (`repeated`). Parameters and inputs are filled by the hash of
test/hash-fill.ts and test/parity-inputs.ts; the gradients are those of mean |pooled - target|. Numbers were made with
PyTorch 2.14.1 on a CPU in float32.
"""

import json
import math
import pathlib

import monai
import numpy as np
import torch
from dynamic_network_architectures.building_blocks.residual_encoders import ResidualEncoder
from fill import hash_fill, parameter
from monai.networks.nets.densenet import DenseNet
from monai.networks.nets.swin_unetr import SwinTransformer
from resnet_encoder import sample
from torch import nn

path = pathlib.Path(__file__).with_suffix(".json")


def filled(name, shape):
    return torch.from_numpy(hash_fill(name, math.prod(shape)).astype(np.float32)).reshape(shape)


def case(encoder, network, maps, shape):
    network.eval()
    # Each layer is named twice by dynamic-network-architectures; the first name is ours.
    named = {name: p for name, p in network.named_parameters() if ".all_modules." not in name}
    with torch.no_grad():
        for name, p in named.items():
            p.copy_(parameter(name, tuple(p.shape)))
        for name, statistics in network.named_buffers():
            if "running_" in name:
                statistics.copy_(parameter(name, tuple(statistics.shape)))
    stages = maps(network(filled("volumes", shape)))
    pooled = stages[-1].mean((2, 3, 4))
    # As training has it: batch norm, where there is one, takes its statistics from the batch.
    network.train()
    trained = maps(network(filled("volumes", shape)))[-1].mean((2, 3, 4))
    loss = (trained - filled("target", trained.shape)).abs().mean()
    loss.backward()
    return {
        "encoder": encoder,
        "shape": list(shape),
        "shapes": {name: list(p.shape) for name, p in named.items()},
        "stages": [sample(stage.detach(), 12) for stage in stages],
        "pooled": sample(pooled.detach()),
        "loss": loss.item(),
        "gradients": {name: sample(p.grad, 4) for name, p in named.items()},
    }


def residual(channels, features, blocks, strides, kernels, shape):
    encoder = {"channels": channels, "features": features, "blocks": blocks, "strides": strides}
    if kernels is not None:
        encoder["kernels"] = kernels
    network = ResidualEncoder(
        channels,
        len(features),
        features,
        nn.Conv3d,
        kernels or 3,
        strides,
        blocks,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        return_skips=True,
    )
    return case({"family": "residual-encoder-3d", **encoder}, network, lambda maps: maps[-4:], shape)


def swin(merging):
    encoder = {"channels": 2, "features": 12, "depths": [2, 2, 1, 2], "heads": [1, 2, 3, 4], "window": 4}
    network = SwinTransformer(2, 12, (4, 4, 4), (2, 2, 2), encoder["depths"], encoder["heads"])
    return case(
        {"family": "swin-unetr-3d", **encoder, "merging": merging}, network, lambda maps: maps[1:], (2, 2, 36, 43, 50)
    )


class DenseFeatures(nn.Module):
    """What leaves MONAI's blocks, the last of it after the final norm and ReLU, which its classifier pools."""

    def __init__(self, channels, features, growth, blocks):
        super().__init__()
        whole = DenseNet(3, channels, 1, init_features=features, growth_rate=growth, block_config=blocks)
        for name, module in whole.features.named_children():
            self.add_module(name, module)

    def forward(self, x):
        maps = []
        for name, module in self.named_children():
            x = module(x)
            if name.startswith("denseblock"):
                maps.append(x)
        return [*maps[:3], torch.relu(x)]


def dense(channels, features, growth, blocks, shape):
    encoder = {"channels": channels, "features": features, "growth": growth, "blocks": blocks}
    return case({"family": "densenet-3d", **encoder}, DenseFeatures(channels, features, growth, blocks), list, shape)


recorded = json.loads(path.read_text()) if path.exists() else {}
if monai.__version__ == "1.3.2":
    recorded["repeated"] = swin("repeated")
else:
    recorded["complete"] = swin("complete")
    recorded["dense"] = dense(2, 6, 3, [2, 1, 3, 2], (2, 2, 64, 70, 96))
    recorded["residual"] = residual(2, [4, 8, 8, 16, 20, 20], [1, 2, 1, 2, 1, 1], [1, 2, 2, 2, 2, 2], None, (2, 2, 64, 64, 96))
    recorded["flat"] = residual(
        1, [4, 6, 8, 8, 12], [1, 1, 2, 1, 1], [1, [1, 2, 2], 2, 2, 2], [[1, 3, 3], [1, 3, 3], 3, 3, 3], (1, 1, 16, 64, 48)
    )
path.write_text(json.dumps(recorded, indent=1) + "\n")
