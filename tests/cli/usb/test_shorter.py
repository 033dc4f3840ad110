"""Statements that an image has in fewer bytes: they compute what they did."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.cli.usb.small import both

HEAD = """
trace = []
def note(value):
    trace.append(value)
    return value
def main(folder=""):
    for k in range(4):
        try:
            print(k, go(k), go(k), trace)
        except ValueError as error:
            print("raised", error, trace)
"""
SAME = {
    "comparisons with a not, and with two operators": """
def go(k):
    low, high = 1, 3
    found = [k is not None, k not in (1, 2), low <= k < high, low < note(k) <= high, 0 < k != 2]
    if k is not None and k not in (2, 5) and not low < k:
        found.append("in")
    while k is not None and low <= k < high:
        k += 1
    return found, k
""",
    "a list that grows in its own name": """
def go(k):
    made = [n * k for n in range(4) if n != 2]
    made = [[n, more] for n in made for more in "ab" if n]
    return made
""",
    "one that looks at what has its name": """
def go(k):
    made = [k]
    made = [n + len(made) for n in (1, 2)]
    return made
""",
    "half a list is nobody's": """
def look(n):
    if n == 2:
        raise ValueError("two")
    return n
def go(k):
    made = "whole"
    try:
        made = [look(n) for n in range(k + 1)]
    except ValueError:
        pass
    return made
""",
    "dictionaries, returned and as arguments": """
def go(k):
    seen = {str(n): n for n in range(k)}
    return sorted([n for n in seen.values() if n]), len({n: 1 for n in (1, 1, k)})
""",
    "what is computed first stays first": """
def go(k):
    return [note(k), [note(n) for n in (7, 8)]]
""",
    "within a comprehension, a lambda and a condition": """
def go(k):
    rows = [[n * m for m in range(2)] for n in range(k)]
    call = lambda x: [x + n for n in range(2)]
    return rows, call(k), [n for n in range(k)] if k > 1 else [0 for n in range(2)]
""",
    "a call at the end, whose result nobody wants": """
def last(k):
    if k:
        note(k)
    else:
        return
def chosen(k):
    if k > 1:
        note("big")
    elif k:
        note("small")
def wanted(k):
    chosen(k)
def go(k):
    last(k)
    wanted(k)
    chosen(k + 1)
    wanted(k + 1)
    last(k + 1)
""",
    "a call at the end, whose result somebody wants": """
def last(k):
    note(k)
def go(k):
    last(k)
    return [last(k)]
""",
}


@pytest.mark.parametrize("what", SAME)
def test_it_computes_the_same(micropython: str, tmp_path: Path, what: str) -> None:
    """In MicroPython, before and after."""
    before, after, _ = both(micropython, tmp_path, HEAD + SAME[what])
    assert after == before
    assert before.startswith(("0 ", "raised"))


def test_it_is_done(micropython: str, tmp_path: Path) -> None:
    """A comprehension is a loop, a `not` is a branch the other way, and a last call is returned."""
    run = """
def main(folder):
    for k in (1, 2):
        seen(k)
        seen(k + 1)
    print([one for one in done if one is not None])
done = []
def seen(k):
    made = [n for n in range(k)]
    done.append(made)
    done.append(None)
"""
    before, after, made = both(micropython, tmp_path, run)
    assert after == before
    tree = ast.parse(made.files[""])
    kinds = {type(node) for node in ast.walk(tree)}
    assert not kinds & {ast.ListComp, ast.IsNot}
    assert [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)]
