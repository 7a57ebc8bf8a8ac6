"""Trains small encoders on volumes, and writes them as TorchScript: for scripts/fidelity-table.mjs, which calls it.

fidelity-modules.py FOLDER COUNT CHANNELS DEPTH HEIGHT WIDTH: reads FOLDER/volumes.bin, float32 [COUNT, CHANNELS, D, H, W].
"""
import sys

import numpy
import torch
from torch import nn

folder, *sizes = sys.argv[1:]
count, channels, depth, height, width = map(int, sizes)
volumes = torch.from_numpy(
    numpy.fromfile(f"{folder}/volumes.bin", dtype=numpy.float32).reshape(count, channels, depth, height, width)
)
torch.set_num_threads(1)


class Convolutions(nn.Module):
    """Convolutions with batch norm."""

    def __init__(self):
        super().__init__()
        layers = []
        for before, after in [(channels, 16), (16, 24), (24, 32)]:
            layers += [nn.Conv3d(before, after, 5 if before == channels else 3, 2, 2 if before == channels else 1), nn.BatchNorm3d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)


class Patches(nn.Module):
    """Patches with a position embedding, mixed by layers with layer norm."""

    def __init__(self):
        super().__init__()
        self.patch_embed = nn.Conv3d(channels, 32, 8, 8)
        self.pos_embed = nn.Parameter(torch.randn(1, 32, depth // 8, height // 8, width // 8) * 0.02)
        self.norms = nn.ModuleList([nn.LayerNorm(32) for _ in range(5)])
        self.layers = nn.ModuleList([nn.Linear(32, 32) for _ in range(4)])

    def forward(self, x):
        x = self.patch_embed(x)
        position = nn.functional.interpolate(self.pos_embed, size=x.shape[2:], mode="trilinear")
        x = (x + position).permute(0, 2, 3, 4, 1)
        for index, (norm, layer) in enumerate(zip(self.norms, self.layers)):
            x = x + nn.functional.gelu(layer(norm(x)))
        return self.norms[4](x).permute(0, 4, 1, 2, 3)


for name, make in [("convolutions", Convolutions), ("patches", Patches)]:
    for seed in (1, 2):
        torch.manual_seed(seed)
        encoder = make()
        torch.jit.script(encoder.eval()).save(f"{folder}/{name}-{seed}-untrained.pt")
        decoder = nn.Conv3d(32, 8 * channels, 1)
        optimiser = torch.optim.AdamW([*encoder.parameters(), *decoder.parameters()], 2e-3)
        encoder.train()
        for step in range(80):
            x = volumes[torch.randint(count, (4,))]
            y = decoder(encoder(x))
            wanted = nn.functional.adaptive_avg_pool3d(x, y.shape[2:]).repeat(1, 8, 1, 1, 1)
            loss = nn.functional.mse_loss(y, wanted)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        torch.jit.script(encoder.eval()).save(f"{folder}/{name}-{seed}.pt")
        print(name, seed, float(loss))
