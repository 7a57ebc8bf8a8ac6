"""The published ConvNeXt V2's training step in PyTorch on a CUDA device, bfloat16 autocast and float32: rows of a table.

What scripts/gpu-check.sh prints beside the rows of kernel_bench. Medians of seven steps, or as many as half a minute
holds, after three that do not count.
"""

import statistics
import time

import torch

from networks import Step, convnext

OPTIONS = {
    "shape": [4, 3, 96, 200, 200],
    "depths": [3, 3, 9, 3],
    "dims": [96, 192, 384, 768],
    "device": "cuda",
    "train": True,
    "learningRate": 1e-4,
}
LAYOUTS = {"channels-last": torch.channels_last_3d, "contiguous": None}


def row(layout: str, bfloat16: bool, compiled: bool) -> str:
    name = f"PyTorch {'compiled' if compiled else 'eager'}, {'bfloat16' if bfloat16 else 'float32'}, {layout}"
    try:
        step = Step(convnext, OPTIONS, LAYOUTS[layout], compiled)
        times = []
        begin = time.perf_counter()
        while len(times) < 4 or (len(times) < 10 and time.perf_counter() - begin < 30):
            torch.cuda.synchronize()
            start = time.perf_counter()
            with torch.autocast("cuda", torch.bfloat16, enabled=bfloat16):
                step.run()
            torch.cuda.synchronize()
            times.append(1e3 * (time.perf_counter() - start))
        times = times[3:]
        outcome = f"{statistics.median(times):.3f} | {min(times):.3f} to {max(times):.3f}"
    except Exception as error:  # a peer that cannot run is a row with the reason
        outcome = f"not measured: {(str(error) or repr(error)).splitlines()[0][:120]} | "
    return f"| ConvNeXt V2 Tiny, training step, 4x3x96x200x200 | {name} | {outcome} | |"


if __name__ == "__main__":
    for layout in LAYOUTS:
        for bfloat16 in (True, False):
            print(row(layout, bfloat16, compiled=False), flush=True)
            torch.cuda.empty_cache()
