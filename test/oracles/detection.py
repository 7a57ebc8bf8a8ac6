"""Makes detection.json: candidates, average precision, AUROC and FROC by the PI-CAI challenge's own packages.

python detection.py, with picai_eval 1.4.13 and report_guided_annotation 0.3.4 (NumPy 2.4.6, SciPy 1.17.1,
scikit-learn 1.9.1). The maps are made of whole numbers and divisions in float64, rounded to float32 once, so that
test/detection-candidates.test.ts makes the same ones to the bit.
"""

import json
import pathlib

import numpy as np
from picai_eval import evaluate
from picai_eval.eval import evaluate_case
from report_guided_annotation import extract_lesion_candidates

SHAPE = (12, 24, 20)
CASES = 60


class Stream:
    """Lehmer's generator (Park and Miller 1988): whole numbers below 2^31 - 1, whose products float64 holds."""

    def __init__(self, seed):
        self.state = seed

    def below(self, count):
        self.state = self.state * 48271 % 2147483647
        return self.state % count


def spread(stream):
    """A place, and how far it reaches."""
    return [stream.below(size) for size in SHAPE], 1 + stream.below(4)


def case_of(index):
    stream = Stream(1 + 7919 * (index + 1))
    k, j, i = np.meshgrid(*(np.arange(size) for size in SHAPE), indexing="ij")
    square = lambda place: (k - place[0]) ** 2 + (j - place[1]) ** 2 + (i - place[2]) ** 2
    truth = np.zeros(SHAPE, dtype=np.int32)
    chances = np.zeros(SHAPE)
    for _ in range(stream.below(4)):
        place, reach = spread(stream)
        truth[square(place) <= reach * reach] = 1
        if stream.below(10) < 7:  # found, beside the place by up to two voxels
            near = [at + stream.below(5) - 2 for at in place]
            own = (1 + stream.below(98)) / 100
            fall = 1 + square(near) / (reach * reach + stream.below(6))
            chances = np.maximum(chances, own / (fall * fall))
    for _ in range(stream.below(5)):
        place, reach = spread(stream)
        own = (1 + stream.below(80)) / 100
        fall = 1 + square(place) / (reach * reach)
        chances = np.maximum(chances, own / (fall * fall))
    return chances.astype(np.float32), truth


cases = [case_of(index) for index in range(CASES)]
results = {}
for name, threshold in {"of-candidates": "dynamic-v2", "of-map": "dynamic-fast", "fixed": 0.3}.items():
    extract = lambda chances: extract_lesion_candidates(chances, threshold=threshold)
    rows = []
    for chances, truth in cases:
        map_, confidences, _ = extract(chances)
        lesions, highest, *_ = evaluate_case(map_.astype(np.float32), truth)
        rows.append({
            "candidates": sorted(float(np.float32(value)) for _, value in confidences),
            "voxels": int((map_ > 0).sum()),
            "lesions": sum(one for one, *_ in lesions),
            "hits": sorted([float(c), float(o)] for one, c, o in lesions if one and c > 0),
            "falsePositives": sorted(float(c) for one, c, _ in lesions if not one),
            "highest": float(highest),
        })
    metrics = evaluate([extract(c)[0].astype(np.float32) for c, _ in cases], [t for _, t in cases])
    results[name] = {
        "cases": rows,
        "averagePrecision": float(metrics.AP),
        "auroc": float(metrics.auroc),
        "score": float(metrics.score),
        "sensitivity": {str(rate): float(metrics.lesion_TPR_at_FPR(rate)) for rate in (0.1, 0.25, 0.5, 1, 2)},
    }
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(results) + "\n")  # the packages print remarks; biome formats it
