"""Questions of the arithmetic task with worked solutions, for the suite's data and for training the built-in model.

`python3 scripts/arithmetic_problems.py > datasets/samples/arithmetic.jsonl` writes the suite's items again.
"""
import json
import random
import sys

NAMES = ["Anna", "Ben", "Carla", "David", "Emma", "Felix", "Grace", "Hugo", "Iris", "Jonas"]
THINGS = ["apples", "books", "coins", "marbles", "pencils", "stamps", "cards", "shells"]


def _number(rng, digits):
    return rng.randint(10 ** (digits - 1) if digits > 1 else 2, 10**digits - 1)


def _step(a, op, b):
    value = {"+": a + b, "-": a - b, "*": a * b}[op]
    return value, f"{a} {op} {b} = {value}"


def _ask(rng, expression):
    return rng.choice(["What is {}?", "Compute {}.", "Find the value of {}."]).format(expression)


def _one_step(rng):
    op = rng.choice("+-*")
    if op == "*":
        a, b = _number(rng, 2), _number(rng, rng.choice([1, 1, 2]))
    else:
        a, b = _number(rng, rng.choice([2, 3])), _number(rng, rng.choice([1, 2, 3]))
    value, line = _step(a, op, b)
    return _ask(rng, f"{a} {op} {b}"), [line], value


def _two_steps(rng):
    a, b, c = _number(rng, 2), _number(rng, rng.choice([1, 2])), _number(rng, 1)
    form = rng.randrange(4)
    if form == 0:
        inner, first = _step(a, rng.choice("+-"), b)
        op = first.split()[1]
        value, second = _step(inner, "*", c)
        text = f"({a} {op} {b}) * {c}"
    elif form == 1:
        inner, first = _step(a, "*", c)
        op = rng.choice("+-")
        value, second = _step(inner, op, b)
        text = f"{a} * {c} {op} {b}"
    elif form == 2:
        inner, first = _step(a, "*", c)
        d = _number(rng, 3)
        op = rng.choice("+-")
        value, second = _step(d, op, inner)
        text = f"{d} {op} {a} * {c}"
    else:
        first_op, second_op = rng.choice("+-"), rng.choice("+-")
        d = _number(rng, 2)
        inner, first = _step(a, first_op, b)
        value, second = _step(inner, second_op, d)
        text = f"{a} {first_op} {b} {second_op} {d}"
    return _ask(rng, text), [first, second], value


def _three_steps(rng):
    a, c = _number(rng, 2), _number(rng, 2)
    b, d = _number(rng, 1), _number(rng, 1)
    left, first = _step(a, "*", b)
    right, second = _step(c, "*", d)
    op = rng.choice("+-")
    value, third = _step(left, op, right)
    return _ask(rng, f"{a} * {b} {op} {c} * {d}"), [first, second, third], value


def _word_problem(rng):
    who, other = rng.sample(NAMES, 2)
    what = rng.choice(THINGS)
    form = rng.randrange(6)
    if form == 0:
        a, b, c = _number(rng, 2), _number(rng, 2), _number(rng, 1)
        held, first = _step(a, "+", b)
        value, second = _step(held, "-", c)
        text = f"{who} has {a} {what}. {other} gives {who} {b} more. Then {who} loses {c}. How many {what} does {who} have now?"
        return text, [first, second], value
    if form == 1:
        a, b = _number(rng, 2), _number(rng, 1)
        value, first = _step(a, "*", b)
        text = f"A box holds {a} {what}. {who} buys {b} boxes. How many {what} does {who} have?"
        return text, [first], value
    if form == 2:
        a, b, c = _number(rng, 1), _number(rng, 2), _number(rng, 2)
        held, first = _step(b, "*", a)
        value, second = _step(held, "+", c)
        text = f"{who} has {a} bags with {b} {what} each and {c} loose {what}. How many {what} is that in all?"
        return text, [first, second], value
    if form == 3:
        b, c = _number(rng, 2), _number(rng, 1)
        a = b + _number(rng, 2)
        held, first = _step(a, "-", b)
        value, second = _step(held, "*", c)
        text = f"{who} had {a} {what} and sold {b}. The rest cost {c} dollars each. How many dollars are they worth?"
        return text, [first, second], value
    if form == 4:
        a, b = _number(rng, 2), _number(rng, 1)
        share, total = a, a * b
        text = f"{who} shares {total} {what} equally among {b} friends. How many {what} does each friend get?"
        return text, [f"{total} / {b} = {share}"], share
    a, b = _number(rng, 2), _number(rng, 1)
    more, first = _step(a, "*", b)
    value, second = _step(a, "+", more)
    text = f"{who} has {a} {what}. {other} has {b} times as many. How many {what} do they have together?"
    return text, [first, second], value


KINDS = {"one_step": _one_step, "two_steps": _two_steps, "three_steps": _three_steps, "word_problem": _word_problem}


def make(rng, kind):
    """One problem: (question, lines of the solution, integer answer)."""
    return KINDS[kind](rng)


def main():
    rng = random.Random(20240501)
    seen = set()
    for index in range(100):
        kind = list(KINDS)[index % 4]
        question, steps, answer = make(rng, kind)
        while question in seen:
            question, steps, answer = make(rng, kind)
        seen.add(question)
        row = {"id": f"arithmetic-{index:03d}", "kind": kind, "question": question, "answer": str(answer)}
        json.dump(row, sys.stdout)
        print()


if __name__ == "__main__":
    main()
