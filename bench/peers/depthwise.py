"""LibTorch's own depthwise 7 x 7 x 7 convolution, forward, both gradients, or all of it."""

import torch

from hash_fill import filled, sample

LAYOUTS = {"channels-last": torch.channels_last_3d, "contiguous": torch.contiguous_format}


def inputs(options, dtype=torch.float32):
    shape = options["shape"]
    channels = shape[1]
    make = lambda name, shape, scale=1.0: torch.from_numpy(filled(name, shape, scale)).to(options["device"], dtype)
    return (
        make("bench.depthwise.input", shape),
        make("bench.depthwise.weight", (channels, 1, 7, 7, 7), (3 / 343) ** 0.5),
        make("bench.depthwise.bias", (channels,), 0.02),
        make("bench.depthwise.gradient", shape),
    )


def forward(x, weight, bias):
    return torch.nn.functional.conv3d(x, weight, bias, padding=3, groups=x.shape[1])


def compute(part, x, weight, bias, gradient):
    results = []
    if part in ("forward", "all"):
        results.append(forward(x, weight, bias))
    if part in ("gradients", "all"):
        results += torch.ops.aten.convolution_backward(
            gradient, x, weight, [x.shape[1]], [1] * 3, [3] * 3, [1] * 3, False, [0] * 3, x.shape[1], [True] * 3
        )
    return results


def answer(results):
    share = 4096 // len(results)
    return [value for result in results for value in sample(result.contiguous().cpu().numpy(), share)]


def peer_of(layout):
    class Depthwise:
        def __init__(self, options):
            x, weight, bias, gradient = inputs(options)
            self.arguments = (x.to(memory_format=layout), weight, bias, gradient.to(memory_format=layout))
            self.part = options["part"]

        @torch.no_grad()
        def run(self):
            self.results = compute(self.part, *self.arguments)

        def answer(self):
            return answer(self.results)

    return Depthwise


@torch.no_grad()
def reference(options):
    return answer(compute(options["part"], *inputs(options, torch.float64)))


PEERS = {"depthwise": {f"LibTorch's own, {name}": peer_of(layout) for name, layout in LAYOUTS.items()}}
REFERENCES = {"depthwise": reference}
