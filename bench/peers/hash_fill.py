"""The hash that fills inputs and weights on both sides, exact in every language.

u(name, i) in [-1, 1): FNV-1a of the name, mixed with the index; all arithmetic is unsigned 32-bit.
"""

import math

import numpy as np


def hash_fill(name: str, count: int) -> np.ndarray:
    """u(name, 0) ... u(name, count - 1), float64."""
    seed = 2166136261
    for byte in name.encode():
        seed = ((seed ^ byte) * 16777619) & 0xFFFFFFFF
    h = np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed)
    h ^= h >> np.uint32(15)
    h *= np.uint32(2246822519)
    h ^= h >> np.uint32(13)
    h *= np.uint32(3266489917)
    h ^= h >> np.uint32(16)
    return h.astype(np.float64) / 2**32 * 2 - 1


def filled(name: str, shape, scale: float = 1.0) -> np.ndarray:
    """An input: scale * u, float32, row-major."""
    values = hash_fill(name, math.prod(shape)).astype(np.float32)
    return (scale * values.astype(np.float64)).astype(np.float32).reshape(shape)


def parameter(name: str, shape) -> np.ndarray:
    """The value of a parameter of that name: its size follows from its kind, so that activations stay near 1."""
    u = hash_fill(name, math.prod(shape)).reshape(shape)
    leaf = name.rsplit(".", 1)[-1]
    if leaf in ("gamma", "beta"):
        u = 0.5 + 0.25 * u if "ls" in name else 0.1 * u
    elif leaf == "weight":
        u = 1 + 0.1 * u if len(shape) == 1 else u * math.sqrt(3 / math.prod(shape[1:]))
    else:
        u = 0.02 * u
    return u.astype(np.float32)


def fill_module(module) -> None:
    """Gives every parameter of a torch module the value that follows from its name."""
    import torch

    with torch.no_grad():
        for name, value in module.named_parameters():
            value.copy_(torch.from_numpy(parameter(name, tuple(value.shape))))


def sample(values: np.ndarray, count: int = 4096) -> list[float]:
    """At most `count` entries of an array, evenly spread over it in row-major order."""
    flat = np.asarray(values, dtype=np.float64).reshape(-1)
    if flat.size > count:
        flat = flat[np.arange(count, dtype=np.int64) * flat.size // count]
    return flat.tolist()
