"""Differences of two methods over crossed seeds and patients, by NumPy: see test/crossed-differences.test.ts.

python3 test/oracles/crossed.py > test/oracles/crossed.json  (NumPy 2)
"""

import json

import numpy as np


def table(rows, columns, phase):
    s, i = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    return np.sin(1.7 * s + phase) * 0.03 + np.cos(0.9 * i + phase) * 0.05 + np.sin(3.1 * s * i + s + 2 * i) * 0.02


def case(name, first, second):
    d = first - second
    S, N = d.shape
    m = d.mean()
    seed = N * ((d.mean(1) - m) ** 2).sum() / (S - 1)
    patient = S * ((d.mean(0) - m) ** 2).sum() / (N - 1)
    rest = ((d - d.mean(1, keepdims=True) - d.mean(0, keepdims=True) + m) ** 2).sum() / ((S - 1) * (N - 1))
    # What the true mean squares may be, given those seen; then the mean itself.
    random = np.random.default_rng(1)
    draws = 4_000_000
    of = lambda square, df: square * df / random.chisquare(df, draws)
    a, b, e = of(seed, S - 1), of(patient, N - 1), of(rest, (S - 1) * (N - 1))
    error = np.sqrt((np.maximum(a - e, 0) + np.maximum(b - e, 0) + e) / (S * N))
    off = np.abs(random.standard_normal(draws)) * error
    return {
        "name": name,
        "first": first.tolist(),
        "second": second.tolist(),
        "estimate": m,
        "squares": [seed, patient, rest],
        "p": float((off >= abs(m)).mean()),
        "half95": float(np.quantile(off, 0.95)),
        "half90": float(np.quantile(off, 0.9)),
    }


print(json.dumps([
    case("two seeds, ten patients", 0.6 + table(2, 10, 0.0), 0.57 + table(2, 10, 1.0)),
    case("three seeds, twelve patients", 0.6 + table(3, 12, 0.3), 0.55 + table(3, 12, 2.0)),
    case("five seeds, twenty patients", 0.6 + table(5, 20, 0.3), 0.6 + table(5, 20, 0.9)),
    case("a reference that is the same with every seed", 0.6 + table(4, 15, 0.3), 0.56 + np.repeat(table(1, 15, 0.9), 4, 0)),
], indent=1))
