"""Makes feature_distances.json: distances between two sets of features, from the papers' equations in NumPy, and exact
p-values by SciPy's permutation_test (python feature_distances.py). Made with NumPy 2 and SciPy 1.

- MMD² (Gretton et al. 2012): equation 1 of the paper (biased), and the U-statistic over pairs z_i = (a_i, b_i), the mean
  over i != j of h = k(a_i, a_j) + k(b_i, b_j) - k(a_i, b_j) - k(a_j, b_i) (lemma 6).
- Linear CKA, debiased: HSIC_1 of Song et al. 2012, equation 5, with K = AA', L = BB' whose diagonals are 0.
- Procrustes (Ding et al. 2021): |A|² + |B|² - 2 |A'B|_*, centred, at unit Frobenius norm; the nuclear norm is the scale that
  scipy.linalg.orthogonal_procrustes answers.
- Mean shift: |mean a - mean b| over the square root of the mean of both covariances' traces.
"""

import json
import pathlib

import numpy as np
from fill import hash_fill
from scipy.linalg import orthogonal_procrustes
from scipy.stats import permutation_test


def rows(name, n, d):
    return hash_fill(name, n * d).reshape(n, d)


def kernel(u, v, sigma):
    return np.exp(-((u[:, None, :] - v[None, :, :]) ** 2).sum(-1) / sigma**2)


def mmd(a, b, sigma):
    aa, bb, ab = kernel(a, a, sigma), kernel(b, b, sigma), kernel(a, b, sigma)
    n = len(a)
    h = aa + bb - ab - ab.T
    off = ~np.eye(n, dtype=bool)
    return {
        "biased": aa.mean() + bb.mean() - 2 * ab.mean(),
        "unbiased": h[off].mean(),
        "withinA": aa[off].mean(),
        "withinB": bb[off].mean(),
        "between": ab[off].mean(),
    }


def hsic(k, l):
    n = len(k)
    one = np.ones(n)
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))
    last = 2 / (n - 2) * one @ k @ l @ one
    return (np.trace(k @ l) + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2)) - last) / (n * (n - 3))


def comparison(a, b):
    k, l = a @ a.T, b @ b.T
    x, y = a - a.mean(0), b - b.mean(0)
    scale = orthogonal_procrustes(x / np.linalg.norm(x), y / np.linalg.norm(y))[1]
    within = (np.trace(np.cov(a.T)) + np.trace(np.cov(b.T))) / 2
    return {
        "linearCka": hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l)),
        "procrustes": 2 - 2 * scale,
        "meanShift": np.linalg.norm(a.mean(0) - b.mean(0)) / np.sqrt(within),
    }


def measured(n, d, shared, offset, sigma):
    a = rows(f"features a {n}", n, d)
    b = shared * a + (1 - shared) * rows(f"features b {n}", n, d) + offset
    return {
        **{"n": n, "d": d, "shared": shared, "offset": offset, "sigma": sigma},
        "mmd": mmd(a, b, sigma),
        "comparison": comparison(a, b),
    }


def unbiased(matrix, first, second, paired):
    within = lambda s: (matrix[np.ix_(s, s)].sum() - matrix[s, s].sum()) / (len(s) * (len(s) - 1))
    cross = matrix[np.ix_(first, second)]
    if not paired:
        return within(first) + within(second) - 2 * cross.mean()
    # Swapping whole pairs leaves each row's partner in the other set, at the same place.
    return within(first) + within(second) - 2 * (cross.sum() - np.trace(cross)) / (len(first) * (len(first) - 1))


def exact(name, n, m, shift, sigma, patients=None):
    """patients: of the rows of a, and of b; paired where both are the same list, by rows where there is none."""
    d = 3
    a, b = rows(f"{name} a", n, d), rows(f"{name} b", m, d) + shift
    if name.startswith("paired"):
        b = a + 0.5 * rows(f"{name} b", m, d) + shift
    pooled = np.concatenate([a, b])
    matrix = kernel(pooled, pooled, sigma)
    paired = name.startswith("paired")
    names_a, names_b = patients or ([str(i) for i in range(n)], [str(i + (0 if paired else n)) for i in range(m)])
    units_a, units_b = list(dict.fromkeys(names_a)), list(dict.fromkeys(names_b))
    of_a = [[i for i, who in enumerate(names_a) if who == unit] for unit in units_a]
    of_b = [[n + i for i, who in enumerate(names_b) if who == unit] for unit in units_b]
    blocks = of_a + of_b

    def statistic(x, y):
        expand = lambda codes: np.array([row for code in codes for row in blocks[int(code)]])
        return unbiased(matrix, expand(x), expand(y), paired)

    result = permutation_test(
        (np.arange(len(of_a)), len(of_a) + np.arange(len(of_b))),
        statistic,
        permutation_type="samples" if paired else "independent",
        vectorized=False,
        n_resamples=10**6,
        alternative="greater",
    )
    return {
        **{"name": name, "n": n, "m": m, "shift": shift, "sigma": sigma, "paired": paired, "patients": patients},
        **{"statistic": float(result.statistic), "p": float(result.pvalue), "divisions": len(result.null_distribution)},
    }


several = ["p", "q", "q", "r", "s", "s", "s", "t", "u"]
out = {
    "measured": [
        measured(4, 3, 0.5, 0.2, 1.0),
        measured(10, 6, 0.9, 0.0, 2.0),
        measured(37, 200, 0.7, 0.05, 12.0),
        measured(148, 20, 0.2, -0.3, 3.0),
        measured(60, 60, 0.99, 0.01, 8.0),
    ],
    "exact": [
        exact("independent", 4, 5, 0.35, 1.5),
        exact("independent even", 6, 6, 0.2, 1.2),
        exact("independent by patient", 9, 7, 0.3, 1.2, [several, ["v", "v", "w", "x", "x", "y", "z"]]),
        exact("paired", 8, 8, 0.2, 1.2),
        exact("paired more", 11, 11, 0.12, 1.2),
        exact("paired by patient", 9, 9, 0.25, 1.2, [several, several]),
    ],
}
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(out, indent=1) + "\n")
