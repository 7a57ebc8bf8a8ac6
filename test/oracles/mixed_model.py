"""Makes mixed_model.json: variances of crossed random effects by statsmodels (python mixed_model.py > mixed_model.json).

y = mu + seed + patient + rest, both drawn at random; REML by MixedLM, whose estimates in balanced tables are those of the
mean squares wherever none of these is negative. Numbers were made with statsmodels 0.14 and NumPy 2.
"""

import json
import warnings

import numpy as np
import pandas as pd
from statsmodels.regression.mixed_linear_model import MixedLM

warnings.simplefilter("ignore")  # variances near their bound
rng = np.random.default_rng(23)


def case(seeds, patients, spreads):
    run, person, rest = spreads
    d = (
        0.02
        + run * rng.standard_normal((seeds, 1))
        + person * rng.standard_normal((1, patients))
        + rest * rng.standard_normal((seeds, patients))
    )
    reference = 0.5 + 0.1 * rng.standard_normal((seeds, patients))
    s, i = np.meshgrid(np.arange(seeds), np.arange(patients), indexing="ij")
    # In units of 0.01, so that the optimiser's tolerance is one of the variances.
    frame = pd.DataFrame({"y": 100 * d.ravel(), "seed": s.ravel(), "patient": i.ravel(), "all": 1})
    model = MixedLM.from_formula(
        "y ~ 1", frame, groups="all", re_formula="0", vc_formula={"seed": "0 + C(seed)", "patient": "0 + C(patient)"}
    )
    start = None
    for method in ["powell", "bfgs", "nm"]:
        fit = model.fit(reml=True, method=method, maxiter=20_000, **({} if start is None else {"start_params": start}))
        start = fit.params_object
    names = model.exog_vc.names
    variances = dict(zip(names, fit.vcomp))
    return {
        "first": (reference + d).tolist(),
        "second": reference.tolist(),
        "mean": float(fit.fe_params.iloc[0]) / 100,
        "seeds": float(variances["seed"]) / 1e4,
        "patients": float(variances["patient"]) / 1e4,
        "rest": float(fit.scale) / 1e4,
    }


print(json.dumps([case(4, 12, (0.03, 0.05, 0.02)), case(6, 10, (0.05, 0.04, 0.03)), case(10, 20, (0.02, 0.06, 0.05))], indent=1))
