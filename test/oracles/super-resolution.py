"""Makes super-resolution.json: volumes with fewer voxels along any axes, by NumPy, and what interpolation makes of them, by
SciPy: linear over all axes at once (RegularGridInterpolator), and the natural cubic spline axis by axis (CubicSpline).
Run with numpy and scipy: python super-resolution.py > super-resolution.json

Intensities are multiples of 1/1024, which float32 holds exactly. Numbers were made with NumPy 2.4.6 and SciPy 1.17.1, in
float64.
"""

import json

import numpy as np
from scipy.interpolate import CubicSpline, RegularGridInterpolator

rng = np.random.default_rng(18)
names = ["depth", "height", "width"]


def case(shape, axis, factor, downsampling):
    volume = np.round(rng.uniform(0, 1, shape) * 1024) / 1024
    chosen = [axis] if isinstance(axis, str) else axis
    by = [factor] * len(chosen) if isinstance(factor, int) else factor
    factors = [by[chosen.index(name)] if name in chosen else 1 for name in names]

    coarse = volume
    for along, f in enumerate(factors):
        blocks = np.moveaxis(coarse, along, 0)
        blocks = blocks.reshape(blocks.shape[0] // f, f, *blocks.shape[1:])
        blocks = blocks.mean(axis=1) if downsampling == "average" else blocks[:, 0]
        coarse = np.moveaxis(blocks, 0, along)

    repeated = coarse
    for along, f in enumerate(factors):
        repeated = np.repeat(repeated, f, axis=along)

    # Where the coarse voxels lie among the fine ones, and where the fine ones are asked for: not beyond those.
    knots, places = [], []
    for along, f in enumerate(factors):
        first = (f - 1) / 2 if downsampling == "average" else 0
        knots.append(first + f * np.arange(coarse.shape[along]))
        places.append(np.clip(np.arange(shape[along]), knots[-1][0], knots[-1][-1]))
    at = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1)
    linear = RegularGridInterpolator(knots, coarse)(at)
    cubic = coarse
    for along, f in enumerate(factors):
        if f > 1:
            cubic = CubicSpline(knots[along], cubic, axis=along, bc_type="natural")(places[along])

    return {
        "axis": axis,
        "factor": factor,
        "downsampling": downsampling,
        "shape": list(shape),
        "factors": factors,
        "volume": volume.ravel().tolist(),
        "coarse": coarse.ravel().tolist(),
        "repeated": repeated.ravel().tolist(),
        "linear": np.clip(linear, 0, 1).ravel().tolist(),
        "cubic": np.clip(cubic, 0, 1).ravel().tolist(),
    }


print(
    json.dumps(
        [
            case((8, 3, 4), "depth", 2, "average"),
            case((9, 3, 4), "depth", 3, "average"),
            case((3, 12, 4), "height", 4, "skip"),
            case((3, 4, 15), "width", 5, "average"),
            case((2, 8, 6), ["height", "width"], 2, "average"),
            case((6, 5, 8), ["width", "depth"], [4, 3], "average"),
            case((4, 6, 6), ["depth", "height", "width"], [2, 3, 2], "skip"),
        ]
    )
)
