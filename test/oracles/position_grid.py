"""Bicubic resizing with antialiasing by Pillow, whose filter PyTorch's F.interpolate(mode="bicubic", antialias=True,
align_corners=False) has in common: grids of numbers of a known series, resized to another edge. Pillow computes in
float32. Run with numpy and Pillow: python position_grid.py > position_grid.json
"""

import json

import numpy as np
from PIL import Image


def grid(edge):
    at = np.arange(edge * edge)
    return np.sin(at * at * 0.7 + at).astype(np.float32).reshape(edge, edge)


def resized(before, after):
    image = Image.fromarray(grid(before), mode="F").resize((after, after), Image.BICUBIC)
    return [round(float(value), 7) for value in np.asarray(image).ravel()]


print(json.dumps([{"from": a, "to": b, "values": resized(a, b)} for a, b in [(3, 7), (7, 3), (16, 37), (40, 37)]]))
