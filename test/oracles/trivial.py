"""Makes trivial.json: what the comparator `trivial` must give, by SciPy, scikit-learn and NumPy, on small data of a known
seed. Run with numpy, scipy and scikit-learn: python trivial.py > trivial.json

Inputs that the program sees as float32 are multiples of 1/1024, which both hold exactly. Numbers were made with NumPy
2.4.6, SciPy 1.17.1 and scikit-learn 1.9.1, in float64.
"""

import json

import numpy as np
from scipy.interpolate import CubicSpline
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

rng = np.random.default_rng(17)
exact = lambda values: np.round(np.asarray(values) * 1024) / 1024


def interpolation():
    cases = []
    for slices, first in [(6, 0.5), (7, 0.0), (2, 0.5)]:
        coarse = exact(rng.uniform(0, 1, (slices, 2, 3)))
        knots = first + 2 * np.arange(slices)
        at = np.clip(np.arange(2 * slices), knots[0], knots[-1])
        columns = coarse.reshape(slices, -1)
        linear = np.stack([np.interp(at, knots, column) for column in columns.T], axis=1)
        cubic = CubicSpline(knots, columns, axis=0, bc_type="natural")(at)
        cases.append(
            {
                "slices": slices,
                "first": first,
                "coarse": coarse.ravel().tolist(),
                "linear": linear.ravel().tolist(),
                "cubic": cubic.ravel().tolist(),
            }
        )
    return cases


def monotone():
    """Voxel by voxel: scikit-learn sees every voxel, at the index of its bin, and predicts for every bin."""
    cases = []
    for direction, of in [("rising", lambda x: np.sqrt(x)), ("falling", lambda x: 1 - x**2)]:
        source = exact(np.concatenate([rng.beta(2, 5, 500), [0.0, 1.0]]))
        target = exact(np.clip(of(source) + rng.normal(0, 0.15, source.size), 0, 1))
        bins = np.minimum(255, np.floor(source * 256))
        model = IsotonicRegression(increasing=direction == "rising", out_of_bounds="clip").fit(bins, target)
        other = IsotonicRegression(increasing=direction != "rising", out_of_bounds="clip").fit(bins, target)
        error = lambda one: float(np.sum((one.predict(bins) - target) ** 2))
        assert error(model) < error(other)
        cases.append(
            {
                "direction": direction,
                "source": source.tolist(),
                "target": target.tolist(),
                "values": model.predict(np.arange(256)).tolist(),
            }
        )
    return cases


def masks():
    """Every threshold between two of the mean mask's values is tried, in plain NumPy."""
    cases = []
    for count in [5, 8]:
        grid = np.stack(np.meshgrid(*[np.arange(size) for size in (4, 9, 9)], indexing="ij"), axis=-1)
        drawn = []
        for index in range(count):
            centre = [1.5, 4, 4] + rng.normal(0, 1, 3)
            drawn.append(np.linalg.norm(grid - centre, axis=-1) < rng.uniform(1.5, 3.5) if index != 2 else grid[..., 0] < 0)
        drawn = np.array(drawn)
        mean = drawn.mean(axis=0)
        dice = [
            np.mean([2 * (one & (mean > (k - 0.5) / count)).sum() / (one.sum() + (mean > (k - 0.5) / count).sum()) for one in drawn if one.any()])
            for k in range(1, count + 1)
        ]
        cases.append(
            {
                "masks": drawn.reshape(count, -1).astype(int).tolist(),
                "atLeast": int(np.argmax(dice)) + 1,
                "meanDice": float(np.max(dice)),
            }
        )
    return cases


def statistics():
    cases = []
    for size in [1, 2, 7, 400]:
        values = exact(rng.normal(0.4, 0.3, size).clip(0, 1))
        cases.append(
            {
                "values": values.tolist(),
                "expected": [values.mean(), values.std(), *np.percentile(values, [5, 25, 50, 75, 95])],
            }
        )
    return cases


def regression():
    """Features on scales as far apart as those of images, two of them the same, as where no gland is known."""
    cases = []
    for classes in [[0, 1, 2, 3], [0, 2, 3], [1, 3]]:
        truth = rng.choice(classes, 40)
        rows = np.concatenate([rng.normal(0, 1, (40, 3)) * [1, 0.01, 100] + truth[:, None] * [0.5, 0.004, -30], np.full((40, 1), 0.1)], axis=1)
        rows = np.concatenate([rows, rows[:, :1]], axis=1)
        new = np.concatenate([rows[:4] * 1.3, [[50, 1, 5000, 0.1, 50]]])
        scaler = StandardScaler().fit(rows)
        # Two classes as a softmax of two, as for more, not as one logit.
        solver = {"solver": "newton-cg", "tol": 1e-12, "max_iter": 10_000}
        scaled = scaler.transform(rows)
        if len(classes) > 2:
            model = LogisticRegression(C=1.0, **solver).fit(scaled, truth)
        else:
            # Of two opposite logits the weights' squares add up to half those of their difference.
            model = LogisticRegression(C=2.0, **solver).fit(scaled, truth)
        probabilities = np.zeros((len(new), 4))
        probabilities[:, model.classes_] = model.predict_proba(scaler.transform(new))
        cases.append(
            {
                "rows": rows.tolist(),
                "classes": truth.tolist(),
                "new": new.tolist(),
                "probabilities": probabilities.tolist(),
            }
        )
    return cases


print(
    json.dumps(
        {
            "interpolation": interpolation(),
            "monotone": monotone(),
            "masks": masks(),
            "statistics": statistics(),
            "regression": regression(),
        }
    )
)
