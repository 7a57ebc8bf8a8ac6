"""Makes delong.json: areas under the ROC curve with DeLong's covariance (python delong.py).

From the equations of DeLong, DeLong & Clarke-Pearson (Biometrics 1988), without this package: components V10 and V01, S10
and S01 their sample covariances, S = S10 / m + S01 / n. Numbers were made with NumPy 2.4.6 and SciPy 1.17.1.
"""

import json
import pathlib

import numpy as np
from scipy import stats

rng = np.random.default_rng(10)


def delong(labels, first, second):
    v10, v01, areas = [], [], []
    for scores in (first, second):
        x, y = scores[labels], scores[~labels]
        psi = np.where(y[None] < x[:, None], 1.0, np.where(y[None] == x[:, None], 0.5, 0.0))
        v10.append(psi.mean(1))
        v01.append(psi.mean(0))
        areas.append(psi.mean())
    s = np.cov(v10) / labels.sum() + np.cov(v01) / (~labels).sum()
    variance = s[0, 0] + s[1, 1] - 2 * s[0, 1]
    z = (areas[0] - areas[1]) / np.sqrt(variance)
    return {
        "areas": [float(a) for a in areas],
        "se": np.sqrt(np.diag(s)).tolist(),
        "differenceSe": float(np.sqrt(variance)),
        "p": float(2 * stats.norm.sf(abs(z))),
    }


cases = []
for m, n, ties in [(22, 15, False), (22, 15, True), (60, 88, False), (30, 30, True)]:
    labels = np.arange(m + n) % (m + n) < m
    shared = rng.normal(size=m + n)
    first = shared + rng.normal(size=m + n) + 1.6 * labels
    second = shared + rng.normal(size=m + n) + 0.9 * labels
    if ties:
        first, second = np.round(first), np.round(second)
    cases.append(
        {"labels": labels.tolist(), "first": first.tolist(), "second": second.tolist(), **delong(labels, first, second)}
    )

pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps({"cases": cases}, indent=1) + "\n")
