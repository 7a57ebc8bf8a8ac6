"""3D structural similarity (Wang et al. 2004): Gaussian window of 11 with sigma 1.5, windows that lie inside."""

import numpy as np
import torch
from torch.nn import functional

from hash_fill import hash_fill, sample

WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03


def inputs(options):
    """A ramp with noise, and the same with more noise; float32 in [0, 1.25]."""
    depth, height, width = options["shape"]
    d, h, w = np.meshgrid(np.arange(depth), np.arange(height), np.arange(width), indexing="ij")
    ramp = (d + h + w) / (depth + height + width)
    noise = [hash_fill(f"bench.ssim.{name}", ramp.size).reshape(ramp.shape) for name in ("a", "b")]
    a = 0.5 * ramp + 0.25 * (1 + noise[0])
    b = a + 0.125 * noise[1]
    return a.astype(np.float32), b.astype(np.float32)


def ssim(a, b, taps):
    """Each axis filtered by a one-dimensional convolution; [1, 1, D, H, W]."""
    kernels = [taps.view(1, 1, -1, 1, 1), taps.view(1, 1, 1, -1, 1), taps.view(1, 1, 1, 1, -1)]

    def smooth(x):
        for kernel in kernels:
            x = functional.conv3d(x, kernel)
        return x

    maps = smooth(torch.cat([a, b, a * a, b * b, a * b]))
    mean_a, mean_b, aa, bb, ab = maps.split(1)
    c1, c2 = K1**2, K2**2
    covariance = ab - mean_a * mean_b
    variances = aa - mean_a**2 + bb - mean_b**2
    return (
        ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))
    ).mean()


def taps_of(dtype, device):
    at = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    weights = torch.exp(-(at**2) / (2 * SIGMA**2))
    return (weights / weights.sum()).to(device, dtype)


def value_and_gradient(a, b, taps, function=ssim):
    a.grad = None
    value = function(a, b, taps)
    value.backward()
    return value.item(), a.grad


class Convolution:
    """Value, and where asked for the gradient with respect to the first volume, in float32."""

    function = staticmethod(ssim)

    def __init__(self, options):
        a, b = (torch.from_numpy(x)[None, None].to(options["device"]) for x in inputs(options))
        self.gradient = options["gradient"]
        self.a, self.b, self.taps = a.requires_grad_(self.gradient), b, taps_of(torch.float32, options["device"])

    def run(self):
        if self.gradient:
            self.value, self.derivative = value_and_gradient(self.a, self.b, self.taps, self.function)
        else:
            self.value = self.function(self.a, self.b, self.taps).item()

    def answer(self):
        return [self.value] + (sample(self.derivative.cpu().numpy(), 4095) if self.gradient else [])


class Compiled(Convolution):
    def __init__(self, options):
        super().__init__(options)
        self.function = torch.compile(ssim)


class ScikitImage:
    def __init__(self, options):
        from skimage.metrics import structural_similarity

        self.function = structural_similarity
        self.a, self.b = inputs(options)

    def run(self):
        self.value = float(
            self.function(self.a, self.b, gaussian_weights=True, sigma=SIGMA, use_sample_covariance=False, data_range=1.0)
        )

    def answer(self):
        return [self.value]


def reference(options):
    a, b = (torch.from_numpy(x)[None, None].to(torch.float64) for x in inputs(options))
    value, gradient = value_and_gradient(a.requires_grad_(), b, taps_of(torch.float64, "cpu"))
    return [value] + (sample(gradient.numpy(), 4095) if options["gradient"] else [])


PEERS = {
    "ssim": {
        "PyTorch convolutions, eager": Convolution,
        "PyTorch convolutions, torch.compile": Compiled,
        "scikit-image": ScikitImage,
    }
}
REFERENCES = {"ssim": reference}
