"""The fill of test/hash-fill.ts and test/parity-inputs.ts, for the scripts that make recorded numbers."""

import math

import numpy as np


def hash_fill(name, count):
    seed = np.uint32(2166136261)
    with np.errstate(over="ignore"):
        for byte in name.encode():
            seed = np.uint32((int(seed) ^ byte) * 16777619 & 0xFFFFFFFF)
        h = np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + seed
        h = (h ^ (h >> np.uint32(15))) * np.uint32(2246822519)
        h = (h ^ (h >> np.uint32(13))) * np.uint32(3266489917)
        h ^= h >> np.uint32(16)
    return h.astype(np.float64) / 2**32 * 2 - 1


def parameter(name, shape):
    import torch

    leaf = name.rsplit(".", 1)[-1]
    u = hash_fill(name, math.prod(shape))
    if leaf == "num_batches_tracked":
        u = u * 0
    elif leaf == "running_var":
        u = 1 + 0.5 * u
    elif leaf == "running_mean":
        u = 0.1 * u
    elif leaf == "weight":
        u = 1 + 0.1 * u if len(shape) == 1 else u * math.sqrt(3 / math.prod(shape[1:]))
    else:
        u = 0.02 * u
    return torch.from_numpy(u.astype(np.float32)).reshape(shape)
