"""Functions that stand in their caller in an image: what they compute, and which of them stay functions."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.usb.image.join import joined
from tests.cli.usb.small import UMQTT, both, functions, program

HEAD = """
trace = []
def note(word):
    trace.append(word)
    return word
def main(folder=""):
    for k in (0, 1, 2):
        try:
            print(k, go(k), trace)
        except ValueError as error:
            print("raised", error, trace)
"""

GONE = {
    "parameters are what they were when it was called": """
def go(k):
    k = more(k)
    return k
def more(a):
    b = a + 1
    a = b * 10
    return a + b
""",
    "a caller's name is not taken for a parameter": """
def go(first):
    b = 5
    first = more(b, first)
    return first, b
def more(first, b):
    if b > 1:
        return first * 100 + b
    return first - b
""",
    "arguments are computed once, in their order, and first": """
def go(k):
    return more(note("one"), note("two" + str(k)))
def more(a, b):
    note("in it")
    return b + a + b
""",
    "a return ends it, not its caller": """
def go(k):
    found = more(k)
    note("behind")
    return found
def more(k):
    if k == 0:
        note("none")
        return "zero"
    elif k == 1:
        if len(trace) < 100:
            return "one"
    else:
        raise ValueError("many")
    return "never"
""",
    "nor does one without a value": """
def go(k):
    more(k)
    note("behind")
    more_too(k)
def more(k):
    if k > 1:
        note("big")
        return
    note("small")
def more_too(k):
    if not k:
        note("zero")
        return
    note("last")
""",
    "who ends without a return has returned None": """
def go(k):
    found = more(k)
    return [found, less(k)]
def more(k):
    if k:
        return k
def less(k):
    note("less")
""",
    "two values at once": """
def go(k):
    k, other = more(k, k + 1)
    return k, other
def more(a, b):
    if a:
        return b, a
    return a, b
""",
    "in a condition, and as its first operand": """
def go(k):
    if more(k):
        return "yes"
    elif less(k) > 1:
        return "rather"
    return least(k) + k
def more(k):
    if note(k) == 1:
        return True
    return False
def less(k):
    found = note("less")
    return len(found) - k
def least(k):
    for n in (1, 2):
        k += n
    return k
""",
    "an exception leaves it by the way it came": """
def go(k):
    try:
        found = more(k)
    except ValueError as error:
        return "caught", str(error)
    return found
def more(k):
    try:
        if k == 1:
            raise ValueError("inner")
        if k == 2:
            raise TypeError("other")
    except TypeError as error:
        note(str(error))
    return k
""",
    "two in one caller do not see each other's locals": """
def go(k):
    first = more(k)
    second = less(k)
    return first, second
def more(k):
    kept = k + 1
    made = [kept, k]
    return made
def less(k):
    kept = k - 1
    made = {"kept": kept}
    return made
""",
    "a global that it sets": """
count = 0
def go(k):
    more(k)
    return count
def more(k):
    global count
    count += k + 1
""",
    "a method of another object": """
class Box:
    def __init__(self, value):
        self.value = value
    def more(self, by):
        self.value += by
        return self.value
def go(k):
    box = Box(k)
    found = box.more(by_two(k))
    return found, box.value
def by_two(k):
    return k + 2
""",
    "by default": """
def go(k):
    return more(k)
def more(k, by=7):
    by += k
    return by
""",
}
STAY = {
    "within a loop": """
def go(k):
    found = more(k)
    return found
def more(k):
    for n in range(3):
        if n == k:
            return "at %d" % n
    return None
""",
    "what is called after something else": """
def go(k):
    return note("one") + more(k)
def more(k):
    note("more")
    return str(k)
""",
    "what is called perhaps": """
def go(k):
    return k and more(k)
def more(k):
    note("more")
    return str(k)
""",
    "what calls itself": """
def go(k):
    return more(k)
def more(k):
    return more(k - 1) + 1 if k else 0
""",
    "what is there as a value": """
def go(k):
    return [run(k) for run in (more,)]
def more(k):
    return k + 1
""",
    "a generator": """
def go(k):
    return list(more(k))
def more(k):
    yield k
""",
    "what keeps its locals for a function of its own": """
def go(k):
    made = more(k)
    return [one() for one in made]
def more(k):
    by = k + 1
    return [lambda: by]
""",
    "what is looked for before its argument is computed": """
class Box:
    sink = None
    def put(self, word):
        self.sink(word)
    def more(self):
        self.sink = len
        return "x"
def go(k):
    box = Box()
    box.sink = note
    box.sink(box.more())
    return trace[-1:]
""",
}


@pytest.mark.parametrize("what", GONE)
def test_it_computes_the_same_where_it_stands(micropython: str, tmp_path: Path, what: str) -> None:
    """And is no function any more: neither `more` nor what else is called from one place."""
    before, after, made = both(micropython, tmp_path, HEAD + GONE[what])
    assert after == before
    assert "0 " in before
    left = {name for name in functions(made) if name.startswith("run.")}
    assert left <= {"run.main", "run.go", "run.note", "run.Box.__init__"}


@pytest.mark.parametrize("what", STAY)
def test_who_cannot_stands_where_it_stood(micropython: str, tmp_path: Path, what: str) -> None:
    """It is a function, and the program does the same."""
    before, after, made = both(micropython, tmp_path, HEAD + STAY[what])
    assert after == before
    assert {"run.more", "run.Box.more"} & functions(made)


def test_a_caller_that_runs_for_ever_takes_nothing_in(micropython: str, tmp_path: Path) -> None:
    """What a function forgets when it ends, main() would keep."""
    run = (
        "def main(folder):\n    print(large())\ndef large():\n    x = [1] * 99\n    return len(x)\n"
    )
    before, after, made = both(micropython, tmp_path, run)
    assert (before, after) == ("99\n", "99\n")
    assert functions(made) >= {"run.main", "run.large"}


def test_who_is_asked_for_stays() -> None:
    """A script may call it."""
    texts = program(HEAD + GONE["by default"])
    assert "run.more" in functions(joined(texts, UMQTT, keep={"more"}))
    assert "run.more" not in functions(joined(texts, UMQTT))
