"""LibTorch's own depthwise 7 x 7 x 7 convolution, each of its three passes alone or all together."""

import torch

from hash_fill import filled, sample

LAYOUTS = {"channels-last": torch.channels_last_3d, "contiguous": torch.contiguous_format}
PASSES = {"forward": 0, "input-gradient": 1, "weight-gradient": 2, "all": 3}


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


def backward(gradient, x, weight, mask):
    return torch.ops.aten.convolution_backward(
        gradient, x, weight, [x.shape[1]], [1] * 3, [3] * 3, [1] * 3, False, [0] * 3, x.shape[1], mask
    )


def compute(part, x, weight, bias, gradient):
    results = []
    if part in ("forward", "all"):
        results.append(forward(x, weight, bias))
    if part in ("input-gradient", "all"):
        results.append(backward(gradient, x, weight, [True, False, False])[0])
    if part in ("weight-gradient", "all"):
        results += backward(gradient, x, weight, [False, True, True])[1:]
    return results


def answer(results):
    share = 4096 // len(results)
    return [value for result in results for value in sample(result.contiguous().cpu().numpy(), share)]


def peer_of(layout):
    class Depthwise:
        def __init__(self, options):
            x, weight, bias, gradient = inputs(options)
            self.arguments = (x.to(memory_format=layout), weight, bias, gradient.to(memory_format=layout))
            self.part = options["pass"]

        @torch.no_grad()
        def run(self):
            self.results = compute(self.part, *self.arguments)

        def answer(self):
            return answer(self.results)

    return Depthwise


@torch.no_grad()
def reference(options):
    return answer(compute(options["pass"], *inputs(options, torch.float64)))


PEERS = {"depthwise": {f"LibTorch's own, {name}": peer_of(layout) for name, layout in LAYOUTS.items()}}
REFERENCES = {"depthwise": reference}
