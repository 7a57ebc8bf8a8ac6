"""Makes specification_curve.json: joint permutation tests over specifications (Simonsohn, Simmons & Nelson 2020), every
order of the gains gone through by itertools (python specification_curve.py). Made with NumPy 2 and SciPy 1.

A specification is a column of distances and one of gains, entry i of task i, None where a task has none. Orders move the
gains of all specifications together. Statistics: the median r, the number of significant r (|r| at the critical value of
Student's t) with the sign that most of them have, and the mean of Fisher's z times sqrt(n - 3).
"""

import itertools
import json
import pathlib

import numpy as np
from fill import hash_fill
from scipy import stats


def critical(n):
    t = stats.t.isf(0.025, n - 2)
    return t / np.sqrt(t**2 + n - 2)


def correlation(x, y):
    kept = ~(np.isnan(x) | np.isnan(y))
    x, y = x[kept], y[kept]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def numbers(rs, ns):
    rs, ns = np.array(rs), np.array(ns)
    limits = np.array([critical(n) for n in ns])
    positive, negative = (rs >= limits - 1e-12).sum(), (-rs >= limits - 1e-12).sum()
    many = ns > 3
    z = np.arctanh(np.clip(rs[many], -1 + 1e-9, 1 - 1e-9)) * np.sqrt(ns[many] - 3)
    return {"median": float(np.median(rs)), "significant": int(max(positive, negative)), "averageZ": float(z.mean())}


def curve(name, n, count, strength, missing=False):
    gains = [hash_fill(f"{name} gain {g}", n) for g in range(2)]
    xs, ys = [], []
    for k in range(count):
        gain = gains[k % 2]
        x = strength * gains[0] + (1 - strength) * hash_fill(f"{name} distance {k}", n)
        x, y = x.copy(), gain.copy()
        if missing and k % 3 == 0:
            x[k % n] = np.nan
        if missing and k % 4 == 1:
            y[(k + 1) % n] = np.nan
        xs.append(x)
        ys.append(y)
    given = [correlation(x, y) for x, y in zip(xs, ys)]
    ns = [int((~(np.isnan(x) | np.isnan(y))).sum()) for x, y in zip(xs, ys)]
    seen = numbers(given, ns)
    reached, orders = dict.fromkeys(seen, 0), 0
    for order in itertools.permutations(range(n)):
        orders += 1
        now = numbers([correlation(x, y[list(order)]) or 0.0 for x, y in zip(xs, ys)], ns)
        for key in seen:
            reached[key] += abs(now[key]) >= abs(seen[key]) * (1 - 1e-12)
    plain = lambda column: [None if np.isnan(v) else float(v) for v in column]
    return {
        "name": name,
        "specifications": [{"x": plain(x), "y": plain(y)} for x, y in zip(xs, ys)],
        "r": sorted(given),
        "statistics": seen,
        "p": {key: reached[key] / orders for key in seen},
        "orders": orders,
    }


out = [
    curve("four tasks", 4, 6, 0.5),
    curve("five tasks", 5, 24, 0.6),
    curve("five tasks, no relation", 5, 25, 0.0),
    curve("six tasks, some missing", 6, 12, 0.5, missing=True),
    curve("seven tasks", 7, 5, 0.7),
]
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(out, indent=1) + "\n")
