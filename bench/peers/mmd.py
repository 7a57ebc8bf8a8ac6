"""Squared maximum mean discrepancy, biased, of two sets of rows with the Gaussian kernel exp(-|u - v|^2 / sigma^2)."""

import numpy as np
import torch

from hash_fill import filled


def inputs(options):
    """Two sets of rows: the second has its values shifted and widened, so that the distance isn't near 0."""
    rows, features = options["rows"], options["features"]
    a = filled("bench.mmd.a", (rows, features))
    b = (filled("bench.mmd.b", (rows, features)).astype(np.float64) * 1.25 + 0.125).astype(np.float32)
    return torch.from_numpy(a).to(options["device"]), torch.from_numpy(b).to(options["device"])


class Mmd:
    def __init__(self, options):
        self.a, self.b = inputs(options)
        self.sigma = options["sigma"]

    def run(self):
        self.value = (self.mean(self.a, self.a) + self.mean(self.b, self.b) - 2 * self.mean(self.a, self.b)).item()

    def answer(self):
        return [self.value]


class Cdist(Mmd):
    @torch.no_grad()
    def mean(self, x, y):
        return torch.exp(-(torch.cdist(x, y).square_()) / self.sigma**2).mean(dtype=torch.float64)


class CdistCompiled(Mmd):
    def __init__(self, options):
        super().__init__(options)
        sigma = self.sigma

        def mean(x, y):
            return torch.exp(-(torch.cdist(x, y).square()) / sigma**2).mean(dtype=torch.float64)

        self.compiled = torch.compile(mean)

    @torch.no_grad()
    def mean(self, x, y):
        return self.compiled(x, y)


class Sklearn(Mmd):
    def __init__(self, options):
        from sklearn.metrics.pairwise import rbf_kernel

        super().__init__(options)
        self.rbf_kernel = rbf_kernel
        self.a, self.b = self.a.cpu().numpy(), self.b.cpu().numpy()

    def mean(self, x, y):
        return self.rbf_kernel(x, y, gamma=1 / self.sigma**2).mean(dtype=np.float64)


class KeOps(Mmd):
    def __init__(self, options):
        from pykeops.torch import LazyTensor

        super().__init__(options)
        self.lazy = LazyTensor

    def mean(self, x, y):
        distance = ((self.lazy(x[:, None, :]) - self.lazy(y[None, :, :])) ** 2).sum(-1)
        sums = (-distance / self.sigma**2).exp().sum(1)
        return sums.to(torch.float64).sum() / (x.shape[0] * y.shape[0])


def reference(options):
    a, b = (x.to(torch.float64) for x in inputs(options))

    def mean(x, y):
        # In float64 the cancellation of |u|^2 + |v|^2 - 2 uv leaves 12 digits of what is asked here.
        total = 0.0
        for block in x.split(1000):
            squares = (block**2).sum(1)[:, None] + (y**2).sum(1)[None, :] - 2 * block @ y.T
            total += torch.exp(-squares.clamp_min(0) / options["sigma"] ** 2).sum().item()
        return total / (x.shape[0] * y.shape[0])

    return [mean(a, a) + mean(b, b) - 2 * mean(a, b)]


PEERS = {
    "mmd": {
        "torch.cdist + exp": Cdist,
        "torch.cdist + exp, torch.compile": CdistCompiled,
        "scikit-learn rbf_kernel": Sklearn,
        "KeOps": KeOps,
    }
}
REFERENCES = {"mmd": reference}
