"""Prints what the ResNet-152 of Astra answers, as JSON (python astra_encoder.py astra_encoder.pt).

The network is built from its description: torchvision's ResNet-152 inflated to volumes, whose stem is 3x7x7 at stride
1, 2, 2 and is followed by maxima of 3x3x3 at stride 2; strides of later stages are the same along all axes. The file holds
bfloat16, which is computed with in float32. Python's own reader of weights reads it, so nothing of ours has part in the numbers.
"""

import json
import math
import sys

import numpy as np
import torch
from fill import hash_fill
from resnet_encoder import ResNet, sample

network = ResNet(3, 64, [3, 8, 36, 3], stem={"kernel": [3, 7, 7], "stride": [1, 2, 2]}).eval()
state = torch.load(sys.argv[1], map_location="cpu", weights_only=True)["state_dict"]
network.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in state.items()}, strict=True)
shape = (1, 3, 32, 64, 96)
# One image, in [0, 1] as its window of intensities gives it, in all three channels.
image = hash_fill("chest", math.prod(shape) // 3).astype(np.float32).reshape(1, 1, *shape[2:])
x = torch.from_numpy((image + 1) / 2).repeat(1, 3, 1, 1, 1)
with torch.no_grad():
    stages, pooled = network(x)
print(json.dumps({"shape": shape, "stages": [sample(s) for s in stages], "pooled": pooled.flatten().tolist()}))
