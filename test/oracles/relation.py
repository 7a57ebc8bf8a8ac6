"""Makes relation.json: exact permutation p-values and the power of a correlation (python relation.py).

Numbers were made with SciPy 1.17.1 and NumPy 2.4.6.
"""

import json
import pathlib

import numpy as np
from scipy import integrate, optimize, special, stats

rng = np.random.default_rng(17)


def spearman(a, b):
    return stats.pearsonr(stats.rankdata(a), stats.rankdata(b)).statistic


def exact(x, y, r):
    return stats.permutation_test(
        (x,), lambda a: abs(r(a, y)), permutation_type="pairings", n_resamples=np.inf, alternative="greater"
    ).pvalue


permutations = []
for n in [3, 4, 5, 6, 7]:
    for ties in [False, True]:
        x, y = rng.exponential(size=(2, n))
        y = y + 0.8 * x
        if ties:
            x, y = np.ceil(2 * x), np.ceil(2 * y)
            x[0], y[-1] = 7, 9  # never constant
        permutations.append(
            {
                "x": x.tolist(),
                "y": y.tolist(),
                "pearson": exact(x, y, lambda a, b: stats.pearsonr(a, b).statistic),
                "spearman": exact(x, y, spearman),
            }
        )


def density(r, rho, n):
    log = (
        np.log(n - 2)
        + special.gammaln(n - 1)
        - special.gammaln(n - 0.5)
        - 0.5 * np.log(2 * np.pi)
        + (n - 1) / 2 * np.log1p(-(rho**2))
        + (n - 4) / 2 * np.log1p(-(r**2))
        - (n - 1.5) * np.log1p(-rho * r)
    )
    return np.exp(log) * special.hyp2f1(0.5, 0.5, n - 0.5, (1 + rho * r) / 2)


def power(rho, n, alpha):
    t = stats.t.isf(alpha / 2, n - 2)
    critical = t / np.sqrt(t**2 + n - 2)
    inside = integrate.quad(density, -critical, critical, args=(rho, n), epsabs=1e-12, epsrel=1e-12, limit=500)[0]
    return 1 - inside


detectable = [
    {
        "n": n,
        "power": wanted,
        "alpha": alpha,
        "rho": optimize.brentq(lambda rho: power(rho, n, alpha) - wanted, 1e-6, 1 - 1e-9, xtol=1e-13),
    }
    for n, wanted, alpha in [(5, 0.8, 0.05), (8, 0.8, 0.05), (8, 0.9, 0.01), (30, 0.8, 0.05), (148, 0.8, 0.05)]
]

pathlib.Path(__file__).with_suffix(".json").write_text(
    json.dumps({"permutations": permutations, "detectable": detectable}, indent=1) + "\n"
)
