"""Records Bradley-Terry ratings that scikit-learn computes, as cases for the tests.

Needs PyPI scikit-learn.
    python3 scripts/make_rating_cases.py > tests/cases/ratings.json
"""
import json
import math
import random

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression

MODELS = {"ada": 1200, "bell": 1100, "curie": 1050, "dirac": 1000, "euler": 900}
LENGTH = {"ada": 0.3, "bell": -0.1, "curie": 0.0, "dirac": 0.1, "euler": -0.2}


def battles(count, seed):
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        a, b = rng.sample(sorted(MODELS), 2)
        style = round(LENGTH[a] - LENGTH[b] + rng.uniform(-0.5, 0.5), 3)
        p = 1 / (1 + 10 ** ((MODELS[b] - MODELS[a]) / 400 - style))
        u = rng.random()
        score = 0.5 if u < 0.15 else (1 if rng.random() < p else 0)
        rows.append({"model_a": a, "model_b": b, "score": score, "style": [style]})
    return rows


def fit(rows, style):
    names = sorted(MODELS)
    xs, ys, ws = [], [], []
    scale = math.sqrt(sum(r["style"][0] ** 2 for r in rows) / len(rows))
    for r in rows:
        x = np.zeros(len(names) + (1 if style else 0))
        x[names.index(r["model_a"])], x[names.index(r["model_b"])] = 1, -1
        if style:
            x[-1] = r["style"][0] / scale
        for y, w in ((1, r["score"]), (0, 1 - r["score"])):  # a tie is half a win of each
            if w > 0:
                xs.append(x), ys.append(y), ws.append(w)
    model = LogisticRegression(fit_intercept=False, penalty=None, tol=1e-12, max_iter=10000)
    model.fit(np.array(xs), np.array(ys), sample_weight=np.array(ws))
    beta = model.coef_[0] * 400 / math.log(10)
    shift = 1000 - beta[names.index("dirac")]
    out = {"ratings": {n: beta[i] + shift for i, n in enumerate(names)}}
    if style:
        out["style"] = beta[-1]
    return out


rows = battles(400, 7)
print(json.dumps({"source": f"scikit-learn {sklearn.__version__}, LogisticRegression without penalty",
                  "reference": "dirac", "battles": rows, "plain": fit(rows, False), "style": fit(rows, True)}))
