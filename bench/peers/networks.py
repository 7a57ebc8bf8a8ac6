"""The published networks' forward and training step in PyTorch: eager and compiled, contiguous and channels-last."""

import torch

from convnext_v2 import ConvNeXtV2
from diffusion_unet import DiffusionUNet
from dino_vit import DinoVit
from hash_fill import fill_module, filled, sample
from training_step import Step


def convnext(options, dtype):
    model = ConvNeXtV2(options["shape"][1], options["depths"], options["dims"])
    fill_module(model)
    x = torch.from_numpy(filled("bench.convnext.input", options["shape"], 2.0))
    target = torch.from_numpy(filled("bench.convnext.target", (options["shape"][0], options["dims"][-1])))
    return model.to(options["device"], dtype), (x.to(options["device"], dtype),), target.to(options["device"], dtype)


def vit(options, dtype):
    model = DinoVit(
        options["shape"][1], options["patch"], options["embedDim"], options["depth"], options["heads"], options["registers"]
    )
    fill_module(model)
    slices = options["shape"][0]
    x = torch.from_numpy(filled("bench.vit.input", options["shape"], 2.0))
    position = torch.tensor([[index, slices] for index in range(slices)], dtype=torch.float32)
    target = torch.from_numpy(filled("bench.vit.target", (slices, options["embedDim"])))
    device = options["device"]
    return model.to(device, dtype), (x.to(device, dtype), position.to(device, dtype)), target.to(device, dtype)


def of_volumes(work, network):
    """A network that answers a volume with a volume of as many voxels; `network` makes it of the options."""

    def build(options, dtype):
        model = network(options)
        fill_module(model)
        x = torch.from_numpy(filled(f"bench.{work}.input", options["shape"], 2.0))
        target = torch.from_numpy(filled(f"bench.{work}.target", (options["shape"][0], 1, *options["shape"][2:])))
        return model.to(options["device"], dtype), (x.to(options["device"], dtype),), target.to(options["device"], dtype)

    return build


def unet(options):
    from unets import UNet  # MONAI is wanted for these alone

    return UNet(options["shape"][1], 1, options["features"], options["levels"])


def unetr(options):
    from unets import Unetr

    return Unetr(options["shape"][1], options["depths"], options["dims"], options["featureSize"], 1)


def diffusion_unet(options):
    return DiffusionUNet(options["shape"][1], 1, options["features"], options["levels"])


class Forward:
    def __init__(self, build, options, layout, compiled, dtype=torch.float32):
        model, self.arguments, _ = build(options, dtype)
        if layout is not None:
            model = model.to(memory_format=layout)
            self.arguments = (self.arguments[0].to(memory_format=layout), *self.arguments[1:])
        model.eval()
        self.model = torch.compile(model) if compiled else model

    @torch.no_grad()
    def run(self):
        self.output = self.model(*self.arguments)

    def answer(self):
        return sample(self.output.cpu().numpy())


def peers(build, layouts):
    def maker(layout, compiled):
        return lambda options: (Step if options["train"] else Forward)(build, options, layout, compiled)

    return {
        f"{mode}, {name}": maker(layout, mode == "torch.compile")
        for mode in ("PyTorch eager", "torch.compile")
        for name, layout in layouts.items()
    }


def reference(build):
    def compute(options):
        work = (Step if options["train"] else Forward)(build, options, None, False, torch.float64)
        work.run()
        return work.answer()

    return compute


VOLUMES = {"channels-last": torch.channels_last_3d, "contiguous": None}
BUILDS = {
    "convnext": (convnext, VOLUMES),
    "vit": (vit, {"channels-last": torch.channels_last, "contiguous": None}),
    "unetr": (of_volumes("unetr", unetr), VOLUMES),
    "unet-3d": (of_volumes("unet-3d", unet), VOLUMES),
    "ddpm-unet": (of_volumes("ddpm-unet", diffusion_unet), VOLUMES),
}
PEERS = {work: peers(build, layouts) for work, (build, layouts) in BUILDS.items()}
REFERENCES = {work: reference(build) for work, (build, _) in BUILDS.items()}
