#!/usr/bin/env python3
"""Records what scipy gives, for tests/results/statistics_test.cc.

    scripts/make_statistics_cases.py > tests/cases/statistics.json     (needs PyPI scipy)
"""
import json
import math

import scipy
from scipy import optimize, stats

cases = {"made_with": f"scipy {scipy.__version__}", "wilson": [], "t_quantile": [], "sign_test": [],
         "normal_quantile": [], "rating": []}
for k, n in [(1, 30), (15, 30), (29, 30), (72, 100), (450, 500), (3, 12032)]:
    interval = stats.binomtest(k, n).proportion_ci(method="wilson")
    cases["wilson"].append({"k": k, "n": n, "lower": interval.low, "upper": interval.high})
for p in (0.9, 0.975, 0.995):
    for df in (1, 4, 29, 197, 499):
        cases["t_quantile"].append({"p": p, "df": df, "value": stats.t.ppf(p, df)})
    cases["normal_quantile"].append({"p": p, "value": stats.norm.ppf(p)})
for k, n in [(0, 1), (3, 4), (10, 30), (15, 30), (480, 1000), (9000, 20000), (0, 40)]:
    cases["sign_test"].append({"k": k, "n": n, "p": stats.binomtest(k, n, 0.5).pvalue})
# Ratings: the slope of the log-likelihood in the rating is zero at its maximum.
for name, solved in [("mixed", [(800, 1), (900, 1), (1200, 1), (1200, 0), (1500, 1), (1900, 0), (2400, 0), (3500, 0)]),
                     ("one_of_many", [(d, int(d == 800)) for d in range(800, 3500, 100)]),
                     ("all_but_the_hardest", [(d, int(d < 3000)) for d in range(800, 3100, 50)])]:
    expected = lambda r: sum(1 / (1 + 10 ** ((d - r) / 400)) for d, _ in solved)
    rating = optimize.brentq(lambda r: expected(r) - sum(s for _, s in solved), -5000, 9000, xtol=1e-9)
    information = sum(p * (1 - p) for p in (1 / (1 + 10 ** ((d - rating) / 400)) for d, _ in solved))
    cases["rating"].append({"name": name, "solved": solved, "rating": rating,
                            "se": 400 / math.log(10) / math.sqrt(information)})
print(json.dumps(cases, indent=1))
