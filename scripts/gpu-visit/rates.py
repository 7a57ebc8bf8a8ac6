"""What the device is able to do, which floors are taken from: `rates.py cuda|cpu`, one JSON document.

The best of several runs: operations a second of matrix products in float32 and bfloat16, bytes a second of reading.
"""

import json
import sys
import time

import torch

DEVICE = sys.argv[1]
EDGE = 8192 if DEVICE == "cuda" else 1024
COUNT = 2**29 if DEVICE == "cuda" else 2**25


def shortest(work) -> float:
    times = []
    for _ in range(6):
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def products(dtype) -> float:
    a = torch.randn(EDGE, EDGE, device=DEVICE, dtype=dtype)
    return 2 * EDGE**3 / shortest(lambda: a @ a)


def main():
    torch.backends.cuda.matmul.allow_tf32 = False
    values = torch.ones(COUNT, device=DEVICE)
    rates = {
        "float32": products(torch.float32),
        "bfloat16": products(torch.bfloat16),
        "bytes": 4 * COUNT / shortest(values.sum),
    }
    print(json.dumps(rates))


if __name__ == "__main__":
    main()
