"""The published networks' forward and training step in PyTorch: eager and compiled, contiguous and channels-last."""

import torch

from convnext_v2 import ConvNeXtV2
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


PEERS = {
    "convnext": peers(convnext, {"channels-last": torch.channels_last_3d, "contiguous": None}),
    "vit": peers(vit, {"channels-last": torch.channels_last, "contiguous": None}),
}
REFERENCES = {"convnext": reference(convnext), "vit": reference(vit)}
