"""Records what EvalPlus says of the variants in tests/cases/humaneval_variants.jsonl, as cases for the tests.

Needs PyPI evalplus and an idle machine, as its limits are of wall time.
    python3 scripts/make_evalplus_variants.py DATA > tests/cases/evalplus_variants.jsonl
A row a variant, in the order of that file: base and plus, "pass" or "fail".
"""
import gzip
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import tempfile

data = sys.argv[1]
cases = pathlib.Path(__file__).resolve().parent.parent / "tests/cases/humaneval_variants.jsonl"
variants = [json.loads(line) for line in cases.read_text().splitlines()][1:]
prompts = {}
for line in gzip.open(data + "/humaneval/HumanEvalPlus.jsonl.gz"):
    row = json.loads(line)
    prompts[row["task_id"]] = row["prompt"]
folder = tempfile.mkdtemp()
with open(folder + "/variants.jsonl", "w") as file:
    for v in variants:
        file.write(json.dumps({"task_id": v["task_id"], "solution": prompts[v["task_id"]] + v["completion"]}) + "\n")
subprocess.run([sys.executable, "-m", "evalplus.evaluate", "humaneval", "--samples", folder + "/variants.jsonl", "--parallel", "1"],
               env={**os.environ, "HUMANEVAL_OVERRIDE_PATH": data + "/humaneval/HumanEvalPlus.jsonl.gz"}, check=True,
               stdout=sys.stderr)
results = json.loads(pathlib.Path(folder + "/variants_eval_results.json").read_text())["eval"]
seen = {}
print(json.dumps({"source": "PyPI evalplus " + importlib.metadata.version("evalplus")}))
for v in variants:
    k = seen[v["task_id"]] = seen.get(v["task_id"], -1) + 1
    result = results[v["task_id"]][k]
    assert result["solution"] == prompts[v["task_id"]] + v["completion"]
    print(json.dumps({"task_id": v["task_id"], "base": result["base_status"], "plus": result["plus_status"]}))
