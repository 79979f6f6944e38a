"""Writes completions for the golden runs: right, wrong, cut, thought not closed, no answer, in forms that models use.

    python3 scripts/make_golden.py DATA     writes tests/golden/SUITE.jsonl (and SUITE.judge.jsonl)
The reports beside them, SUITE.txt, are what `assay score` printed, read by a person.
"""
import csv
import gzip
import hashlib
import json
import pathlib
import re
import sys

DATA = pathlib.Path(sys.argv[1])
ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests/golden"
LIMIT = 2  # questions of each group


def rows(path):
    opened = gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8")
    with opened as file:
        return [json.loads(line) for line in file.read().split("\n") if line.strip()]


def dice(*key):
    return hashlib.sha256("/".join(map(str, key)).encode()).digest()[0]


def first_of_groups(items, group):
    seen, kept = {}, []
    for item in items:
        seen[group(item)] = seen.get(group(item), 0) + 1
        if seen[group(item)] <= LIMIT:
            kept.append(item)
    return kept


def last_box(text):
    at = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    at = text.index("{", at)
    depth = 0
    for i in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[at + 1:i]


def completions(suite, item_id, right, wrong, n):
    """`n` completions; `right` and `wrong` are whole answers."""
    texts, reasons = [], []
    for k in range(n):
        d = dice(suite, item_id, k)
        text = right if d < 150 else wrong if d < 200 else "I cannot say." if d < 215 else right
        if d % 3 == 0:
            text = "<think>Let me see: " + wrong + "</think>\n\n" + text
        if 230 <= d < 240:
            text = "<think>It goes on and on"
        texts.append(text)
        reasons.append("length" if d >= 240 else "stop")
    # a row has one finish reason, so samples that were cut have rows of their own
    return [{"id": item_id, "completion": t, "finish_reason": r} for t, r in zip(texts, reasons)]


def write(suite, made, name=None):
    with open(OUT / f"{name or suite}.jsonl", "w", encoding="utf-8") as file:
        for row in made:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def boxed(suite, items, n):
    made = []
    for item_id, gold in items:
        made += completions(suite, item_id, f"So the answer is $\\boxed{{{gold}}}$.", "Hence \\boxed{123456}.", n)
    write(suite, made)


def choices(suite, items, n, form="The answer is ({}).", numbers=False):
    made = []
    for item_id, gold in items:
        other = "B" if gold == "A" else "A"
        label = lambda x: str(ord(x) - 64) if numbers else x
        made += completions(suite, item_id, form.format(label(gold)), form.format(label(other)), n)
    write(suite, made)


math500 = rows(DATA / "math500/test.jsonl")[:LIMIT]
boxed("math500", [(r["unique_id"], r["answer"]) for r in math500], 4)
math = first_of_groups(rows(DATA / "math/test.jsonl.gz"), lambda r: r["type"])
boxed("math", [(str(r["idx"]), last_box(r["solution"])) for r in math], 2)
boxed("aime24", [(str(r["id"]), str(r["answer"])) for r in rows(DATA / "aime/aime24.jsonl")[:LIMIT]], 4)
boxed("aime25", [(str(r["id"]), str(r["expected_answer"])) for r in rows(DATA / "aime/aime25_nemo.jsonl")[:LIMIT]], 4)
boxed("arithmetic", [(r["id"], r["answer"]) for r in rows(ROOT / "datasets/samples/arithmetic.jsonl")[:LIMIT]], 4)

with open(OUT / "aa_math.jsonl", "w", encoding="utf-8") as file:
    for suite in ("aime24", "math500"):
        file.write((OUT / f"{suite}.jsonl").read_text(encoding="utf-8"))

mmlu = first_of_groups(rows(DATA / "mmlu_pro/test.jsonl.gz"), lambda r: r["category"])
choices("mmlu_pro", [(str(r["question_id"]), r["answer"]) for r in mmlu], 1)
choices("mmlu_pro_5shot", [(str(r["question_id"]), r["answer"]) for r in mmlu], 1)

for suite, file in (("gpqa", "gpqa_main"), ("gpqa_diamond", "gpqa_diamond")):
    made = []
    for r in csv.DictReader(open(ROOT / f"datasets/samples/gpqa/{file}.csv", newline="", encoding="utf-8")):
        made += completions(suite, r["Record ID"], f"Answer: {r['Correct Answer']}",
                            f"\\boxed{{{r['Incorrect Answer 1']}}}", 4)
    write(suite, made)

made = []
for domain in ("murder_mystery", "object_placements", "team_allocation"):
    number = 0
    for story in json.load(open(DATA / f"musr/small_{domain}.json", encoding="utf-8")):
        for question in story["questions"]:
            number += 1
            if number <= LIMIT:
                gold = question["answer"] + 1
                made += completions("musr", f"{domain}/{number}", f"ANSWER: {gold}",
                                    f"**ANSWER: {gold % 2 + 1}**", 1)
write("musr", made)

made = []
for path in sorted((DATA / "bbh/bbh").glob("*.json")):
    for i, r in enumerate(json.load(open(path, encoding="utf-8"))["examples"][:LIMIT], 1):
        made += completions("bbh", f"{path.stem}/{i}", f"So the answer is {r['target']}.",
                            "So the answer is (Z).", 1)
write("bbh", made)

fence = lambda code: f"Here it is:\n```python\n{code}\n```\nIt works."
for suite, file in (("humaneval", "HumanEval"), ("humaneval_plus", "HumanEvalPlus")):
    made = []
    for r in rows(DATA / f"humaneval/{file}.jsonl.gz")[:LIMIT]:
        made += completions(suite, r["task_id"], fence(r["prompt"] + r["canonical_solution"]),
                            fence(r["prompt"] + "    return None"), 4)
    write(suite, made)
made = []
for i, r in enumerate(json.load(gzip.open(DATA / "code_tests/leetcode_200.json.gz"))[:LIMIT], 1):
    made += completions("leetcode", str(i), fence(r["solutions"]), fence("class Solution:\n    pass"), 4)
write("leetcode", made)
pushes = "class Solution:\n    def minimumPushes(self, word: str) -> int:\n        counts = sorted(Counter(word).values(), reverse=True)\n        return sum(c * (i // 8 + 1) for i, c in enumerate(counts))"
houses = """class Solution:
    def countOfPairs(self, n: int, x: int, y: int) -> List[int]:
        out = [0] * n
        for a in range(1, n + 1):
            for b in range(a + 1, n + 1):
                out[min(b - a, abs(a - x) + 1 + abs(b - y), abs(a - y) + 1 + abs(b - x)) - 1] += 2
        return out"""
cost = "class Solution:\n    def minimumCost(self, nums: List[int], k: int = 3, dist: int = 10**9) -> int:\n        return nums[0] + sum(sorted(nums[1:])[:k - 1])"
made = []
for r in first_of_groups(rows(DATA / "code_tests/deepseek_leetcode_180.jsonl.gz"), lambda r: r["meta"]["difficulty"]):
    answer = pushes if "pushes" in r["task_id"] else houses if "houses" in r["task_id"] else cost
    made += completions("deepseek_leetcode", r["task_id"], fence(answer), fence("class Solution:\n    pass"), 2)
write("deepseek_leetcode", made)
books = """n, m = map(int, input().split())
rows = [input() for _ in range(n)]
key = lambda i: [ord(c) if k % 2 == 0 else -ord(c) for k, c in enumerate(rows[i])]
print(*[i + 1 for i in sorted(range(n), key=key)])"""
made = completions("code_contests", "1", fence(books), fence("print(1)"), 4)
made += completions("code_contests", "2", fence("print(3.1622776589)"), fence("print(1)"), 4)
write("code_contests", made)
made = []
ids = json.loads((DATA / "codeforces/metadata_cf.json").read_text())
for i, code in enumerate(("for _ in range(int(input())):\n    print(*sorted(map(int, input().split())))",
                          "for _ in range(int(input())):\n    print(sum(map(int, input().split())))"), 1):
    made += [{**row, "id": ids[i - 1]} for row in completions("codeforces", str(i), fence(code), fence("print(1)"), 4)]
write("codeforces", made)
made = []
for item, right in (("s1", "print(2 * int(input()))"), ("s3", "print(int(input()) << 1)"),
                    ("s2", "class Solution:\n    def scaled(self, nums: List[int], k: int) -> int:\n        return k * sum(nums)")):
    made += completions("livecodebench", item, fence(right), fence("print(0)"), 4)
write("livecodebench", made)

recorded = {}
for r in rows(DATA / "ifeval/responses_dev.jsonl.gz"):
    recorded.setdefault(r["key"], r["response"])
write("ifeval", [{"key": r["key"], "completion": recorded[r["key"]]} for r in rows(DATA / "ifeval/input_data.jsonl")[:40]])

made, judged = [], []
for r in rows(ROOT / "datasets/samples/hle/test.jsonl")[:3]:
    made.append({"id": r["id"], "completion": f"Explanation: so.\nExact Answer: {'azote' if r['answer'] == 'nitrogen' else r['answer']}\nConfidence: {dice(r['id']) % 100}%"})
judged.append({"id": "hle-c/0/a", "completion": "extracted_final_answer: azote\nreasoning: the old name\ncorrect: yes\nconfidence: 100"})
write("hle", made)
write("hle", judged, "hle.judge")

for suite, file, answers in (("arena_hard", "v0.1_question.jsonl", "v0.1_answer_gpt-3.5-turbo-0125.jsonl.gz"),
                             ("arena_hard_v2", "v2.0_question.jsonl", None)):
    questions = rows(DATA / "arena_hard" / file)
    if answers is None:
        questions = first_of_groups([q for q in questions if q["category"] == "hard_prompt"], lambda q: q["subcategory"])
    else:
        questions = questions[:LIMIT * 4]
    theirs = {r["uid"]: r["messages"][1]["content"]["answer"][:500] for r in rows(DATA / "arena_hard" / answers)} if answers else {}
    made, judged = [], []
    for q in questions:
        made.append({"uid": q["uid"], "completion": theirs.get(q["uid"], "# A short answer\n\n- **that** helps")})
        for order in ("ab", "ba"):
            label = ["A>>B", "A>B", "A=B", "B>A", "B>>A"][dice(suite, q["uid"], order) % 5]
            judged.append({"id": f"{q['uid']}/0/{order}", "completion": f"I compared them. My final verdict is: [[{label}]]"})
    write(suite, made)
    write(suite, judged, suite + ".judge")

made, judged = [], []
for q in rows(ROOT / "datasets/samples/arena_hard/v2.0_question.jsonl")[:4]:
    made.append({"uid": q["uid"], "completion": "Once more, and for ever."})
    for order in ("ab", "ba"):
        label = ["A>>B", "A>B", "A=B", "B>A", "B>>A"][dice("arena_hard_v2_creative", q["uid"], order) % 5]
        judged.append({"id": f"{q['uid']}/0/{order}", "completion": f"I compared them. My final verdict is: [[{label}]]"})
write("arena_hard_v2_creative", made)
write("arena_hard_v2_creative", judged, "arena_hard_v2_creative.judge")

made, judged = [], []
for q in first_of_groups(rows(DATA / "mt_bench/question.jsonl"), lambda q: q["category"]):
    for turn, mark in ((1, ""), (2, "#2")):
        item = f"{q['question_id']}{mark}"
        made.append({"id": item, "completion": f"An answer to turn {turn}."})
        judged.append({"id": f"{item}/0/a", "completion": f"It is fair. Rating: [[{1 + dice(item) % 10}]]"})
write("mt_bench", made)
write("mt_bench", judged, "mt_bench.judge")
