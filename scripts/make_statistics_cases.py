#!/usr/bin/env python3
"""Records what scipy gives, for tests/results/statistics_test.cc.

    scripts/make_statistics_cases.py > tests/cases/statistics.json     (needs PyPI scipy)
"""
import json

import scipy
from scipy import stats

cases = {"made_with": f"scipy {scipy.__version__}", "wilson": [], "t_quantile": [], "sign_test": [],
         "normal_quantile": []}
for k, n in [(1, 30), (15, 30), (29, 30), (72, 100), (450, 500), (3, 12032)]:
    interval = stats.binomtest(k, n).proportion_ci(method="wilson")
    cases["wilson"].append({"k": k, "n": n, "lower": interval.low, "upper": interval.high})
for p in (0.9, 0.975, 0.995):
    for df in (1, 4, 29, 197, 499):
        cases["t_quantile"].append({"p": p, "df": df, "value": stats.t.ppf(p, df)})
    cases["normal_quantile"].append({"p": p, "value": stats.norm.ppf(p)})
for k, n in [(0, 1), (3, 4), (10, 30), (15, 30), (480, 1000), (9000, 20000), (0, 40)]:
    cases["sign_test"].append({"k": k, "n": n, "p": stats.binomtest(k, n, 0.5).pvalue})
print(json.dumps(cases, indent=1))
