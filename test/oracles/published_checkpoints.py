"""Writes files of weights as nnssl, OpenMind, nnU-Net and MONAI's trainings write them, from networks of the real packages.

`python published_checkpoints.py write FOLDER` writes each file and, beside it, what the package answers (`NAME.json`);
`python published_checkpoints.py back FOLDER` brings what was saved here (`NAME.safetensors`) back into the package by the lines of
docs/encoders.md, strictly, and prints how far its features then lie from what they were. dynamic-network-architectures 0.4.4
and MONAI 1.6.1. The modules around an encoder are nnssl's (commit of October 2025), by the names of their parts.
"""

import json
import math
import pathlib
import sys

import numpy as np
import torch
from torch import nn
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from monai.networks.nets import SwinUNETR

mode, folder, lines = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else ""

FEATURES = [4, 8, 8, 12, 16, 16]
BLOCKS = [1, 2, 1, 2, 1, 1]
STRIDES = [[1, 1, 1]] + [[2, 2, 2]] * 5
FLAT = {"kernels": [[1, 3, 3], [1, 3, 3]] + [[3, 3, 3]] * 4, "strides": [[1, 1, 1], [1, 2, 2]] + [[2, 2, 2]] * 4}


def res_enc(channels=1, kernels=None, strides=None):
    return ResidualEncoderUNet(
        channels, 6, FEATURES, nn.Conv3d, kernels or [[3, 3, 3]] * 6, strides or STRIDES, BLOCKS, 1, [1] * 5, conv_bias=True,
        norm_op=nn.InstanceNorm3d, norm_op_kwargs={"eps": 1e-5, "affine": True}, nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True}, deep_supervision=False,
    )


def swin(use_v2=False):
    return SwinUNETR(in_channels=1, out_channels=2, feature_size=12, depths=(1, 2, 1, 1), use_v2=use_v2)


class Contrast(nn.Module):
    """nnssl's VoCoArchitecture, which its SimCLR has too."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.projector = nn.Sequential(nn.Linear(sum(FEATURES), 32), nn.ReLU(), nn.Linear(32, 16))


class SparK(nn.Module):
    def __init__(self, architecture):
        super().__init__()
        self.architecture, self.encoder, self.decoder = architecture, architecture.encoder, architecture.decoder
        self.mask_tokens = nn.ParameterList([nn.Parameter(torch.randn(1, width, 1, 1, 1)) for width in FEATURES])
        self.densify_projs = nn.ModuleList([nn.Conv3d(width, width, 3) for width in FEATURES])


class Registration(nn.Module):
    """nnssl's GVSLArchitecture."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.aff_rot = nn.Linear(16, 3)


class Contexts(nn.Module):
    """nnssl's PCRLv2Architecture: the encoder stands in it twice."""

    def __init__(self, network):
        super().__init__()
        self.network, self.encoder = network, network.encoder
        self.predictor_heads = nn.ModuleList([nn.Linear(8, 8)])


PLAN = {
    "architecture_plans": {"arch_class_name": "ResEncL", "arch_kwargs": None, "arch_kwargs_requiring_import": None},
    "pretrain_plan": {"configurations": {"onemmiso": {"spacing": [1, 1, 1], "normalization_schemes": ["ZScoreNormalization"]}}},
    "pretrain_num_input_channels": 1,
    "recommended_downstream_patchsize": (160, 160, 160),
    "key_to_encoder": "encoder.stages",
    "key_to_stem": "encoder.stem",
    "keys_to_in_proj": ("encoder.stem.convs.0.conv", "encoder.stem.convs.0.all_modules.0"),
    "key_to_lpe": None,
}


def trained(network):
    """One step of the optimiser that nnU-Net uses, so that its momentum lies in the file too."""
    optimiser = torch.optim.SGD(network.parameters(), 1e-2, momentum=0.99, nesterov=True)
    sum(p.square().sum() for p in network.parameters()).backward()
    optimiser.step()
    return optimiser.state_dict()


def in_training(network, weights, **others):
    """What nnssl and nnU-Net write during training and at its end."""
    return {
        "network_weights": weights,
        **others,
        "optimizer_state": trained(network),
        "grad_scaler_state": {"scale": 65536.0},
        "logging": {"train_losses": [np.float32(0.5)], "epoch_start_timestamps": [1.5]},
        "_best_ema": np.float64(0.25),
        "current_epoch": 1000,
        "init_args": {"plans": {"patch": [160, 160, 160]}, "device": torch.device("cpu")},
        "trainer_name": "BaseMAETrainer",
    }


def release(network):
    """MONAI's `model_swinvit.pt`: the encoder alone, its layers called fc1 and fc2, and the heads of its pretraining."""
    state = {f"module.{name.replace('.linear', '.fc')}": p for name, p in network.swinViT.state_dict().items()}
    for head, shape in {"norm": (192,), "convTrans3d": (192, 1, 2, 2, 2), "rotation_head": (4, 192), "contrastive_head": (512, 192)}.items():
        state[f"module.{head}.weight"] = torch.randn(shape)
        state[f"module.{head}.bias"] = torch.randn(shape[0])
    return {"epoch": 100, "state_dict": state, "optimizer": {"state": {}, "param_groups": []}}


def disruptive(network):
    """As filter_swinunetr of MONAI expects the files of disruptive autoencoders."""
    state = {f"encoder.{name.replace('.0.', '.0.0.', 1) if name.startswith('layers') else name}": p for name, p in network.swinViT.state_dict().items()}
    return {"model": {**state, "encoder.mask_token": torch.randn(1, 12, 1, 1, 1), "encoder.norm.weight": torch.randn(192)}}


RES_ENC = {"family": "residual-encoder-3d", "channels": 1, "features": FEATURES, "blocks": BLOCKS}
SWIN = {"family": "swin-unetr-3d", "channels": 1, "features": 12, "depths": [1, 2, 1, 1], "heads": [3, 6, 12, 24]}
CASES = {
    "openmind-mae": (res_enc, lambda n: {"network_weights": n.state_dict(), "citations": [], "nnssl_adaptation_plan": PLAN}),
    "in-training": (res_enc, lambda n: {**in_training(n, n.state_dict()), "nnssl_adaptation_plan": PLAN}),
    "spark": (res_enc, lambda n: in_training(n, n.state_dict(), spark_weights=SparK(n).state_dict())),
    "voco": (res_enc, lambda n: {"network_weights": Contrast(n.encoder).state_dict(), "nnssl_adaptation_plan": PLAN}),
    "gvsl": (res_enc, lambda n: {"network_weights": Registration(n).state_dict()}),
    "pcrl": (res_enc, lambda n: {"network_weights": Contexts(n).state_dict()}),
    "compiled": (res_enc, lambda n: {"network_weights": {f"module._orig_mod.{k}": p for k, p in n.state_dict().items()}}),
    "flat": (lambda: res_enc(2, **FLAT), lambda n: {"network_weights": n.state_dict(), "inference_allowed_mirroring_axes": (0, 1, 2)}),
    "swin-release": (swin, release),
    "swin-whole": (swin, lambda n: {"state_dict": n.state_dict(), "epoch": 3}),
    "swin-old": (swin, lambda n: {k.replace("swinViT", "swin_vit"): p for k, p in n.state_dict().items()}),
    "swin-backbone": (swin, lambda n: {"state_dict": {f"module.backbone.{k}": p for k, p in n.state_dict().items()}}),
    "swin-disruptive": (swin, disruptive),
    "swin-v2": (lambda: swin(True), lambda n: {"state_dict": n.state_dict()}),
}


def encoder_of(network):
    return network.encoder if isinstance(network, ResidualEncoderUNet) else network.swinViT


def features_of(network):
    encoder = encoder_of(network.eval())
    channels = 2 if next(encoder.parameters()).shape[1] == 2 else 1
    shape = (1, channels, 32, 64, 64)
    x = torch.sin(torch.arange(math.prod(shape), dtype=torch.float64) / 10).float().reshape(shape)
    with torch.no_grad():
        return list(shape), [m.mean((2, 3, 4)).flatten().tolist() for m in encoder(x)[-4:]]


for name, (make, stored) in CASES.items():
    torch.manual_seed(len(name))
    network = make()
    if mode == "write":
        with torch.no_grad():
            for p in network.parameters():
                p.add_(0.1 * torch.randn_like(p))
        contents = stored(network)
        shape, means = features_of(network)
        torch.save(contents, folder / f"{name}.pth")
        spec = dict(RES_ENC if isinstance(network, ResidualEncoderUNet) else SWIN)
        if spec["family"] == RES_ENC["family"]:
            spec["strides"] = FLAT["strides"] if name == "flat" else STRIDES
            spec.update({"kernels": FLAT["kernels"], "channels": 2} if name == "flat" else {})
        (folder / f"{name}.json").write_text(json.dumps({"encoder": spec, "shape": shape, "means": means}))
    elif (folder / f"{name}.safetensors").exists():
        exec(lines.replace("encoder.safetensors", str(folder / f"{name}.safetensors")), {"encoder": encoder_of(network)})
        wanted = json.loads((folder / f"{name}.json").read_text())["means"]
        furthest = max(abs(a - b) for x, y in zip(features_of(network)[1], wanted) for a, b in zip(x, y))
        print(f"BACK {name} {furthest:.3g}")
