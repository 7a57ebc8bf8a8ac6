"""The published ConvNeXt V2's training step in PyTorch: `peers.py cuda|cpu whole|small`, a JSON document a row.

As many steps as a second and a half hold, after three that do not count. `work` and `by` are worded as by kernel_bench,
beside whose rows they stand.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "peers"))

from convnext_v2 import ConvNeXtV2  # noqa: E402
from training_step import Step  # noqa: E402

DEVICE, SIZE = sys.argv[1:3]
SHAPE = [4, 3, 96, 200, 200] if SIZE == "whole" else [1, 3, 16, 32, 32]
DEPTHS, DIMS = ([3, 3, 9, 3], [96, 192, 384, 768]) if SIZE == "whole" else ([1, 1, 1, 1], [8, 8, 16, 16])
OPTIONS = {"device": DEVICE, "learningRate": 1e-4}
LAYOUTS = {"channels-last": torch.channels_last_3d, "contiguous": None}
ENOUGH_SECONDS = 1.5
# The most telling first: compiling may take what time there is.
ROWS = [
    (layout, precision, compiled)
    for precision, compiled in (("bfloat16", False), ("bfloat16", True), ("float32", False))
    for layout in LAYOUTS
]


def build(options, dtype):
    model = ConvNeXtV2(SHAPE[1], DEPTHS, DIMS).to(DEVICE, dtype)
    x = torch.randn(SHAPE, device=DEVICE, dtype=dtype)
    return model, (x,), torch.randn(SHAPE[0], DIMS[-1], device=DEVICE, dtype=dtype)


def wait():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def measure(layout, precision, compiled):
    step = Step(build, OPTIONS, LAYOUTS[layout], compiled)
    times = []
    begin = None
    while len(times) < 4 or (len(times) < 100 and time.perf_counter() - begin < ENOUGH_SECONDS):
        if len(times) == 3:
            begin = time.perf_counter()
        wait()
        start = time.perf_counter()
        with torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "bfloat16"):
            step.run()
        wait()
        times.append(1e3 * (time.perf_counter() - start))
    return times[3:]


def main():
    # As ours: float32 is float32.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    for layout, precision, compiled in ROWS if SIZE == "whole" else ROWS[:1]:
        row = {
            "work": f"ConvNeXt V2 Tiny, training step, {SHAPE}",
            "by": f"PyTorch {'compiled' if compiled else 'eager'}, {precision}, {layout}",
            "ours": False,
        }
        try:
            times = measure(layout, precision, compiled)
            row |= {"milliseconds": statistics.median(times), "least": min(times), "most": max(times)}
        except Exception as error:  # noqa: BLE001 - a peer that cannot run is a row with the reason
            row |= {"milliseconds": None, "reason": (str(error) or repr(error)).splitlines()[0][:200]}
        print(json.dumps(row), flush=True)
        if DEVICE == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
