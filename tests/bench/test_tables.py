"""The measurements run, so that they are there when somebody asks; what they say is not judged here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import BEGIN, END, TABLES, put
from bench.frame import Options, in_turn, share
from bench.tables.memory import slope

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", TABLES)
def test_each_table_is_printed(name: str) -> None:
    """A smoke run ends well and prints Markdown tables in which each row has each column."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", name, "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "\n## " in done.stdout
    tables = [line.count("|") for line in done.stdout.splitlines() if line.startswith("|")]
    heads = re.findall(r"^(\|.*)\n(?=\|---)", done.stdout, re.MULTILINE)
    assert len(tables) > 2 * len(heads)
    assert set(tables) == {head.count("|") for head in heads}


def test_candidates_take_turns() -> None:
    """Each round begins with another candidate, and each has its turn in each round."""
    order: list[str] = []
    found = in_turn(
        Options(rounds=3), {name: lambda name=name: order.append(name) for name in "abc"}
    )
    assert "".join(order) == "abcbcacab"
    assert {name: len(each) for name, each in found.items()} == {"a": 3, "b": 3, "c": 3}


def test_figures_are_what_they_are_called() -> None:
    """p99 is not the most, and a slope of nothing is nothing."""
    assert share(list(range(1000)), 0.99) == 990
    assert share([7.0], 0.99) == 7.0
    assert slope([5.0, 5.0, 5.0]) == 0
    assert slope([1.0, 3.0, 5.0]) == pytest.approx(2)


def test_an_unknown_table_is_refused() -> None:
    """A slip of the pen names what there is, at once."""
    words = [sys.executable, "-m", "bench", "lane"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "there is no table lane; there are intake" in done.stderr


def test_the_tables_take_the_place_of_the_last_ones(tmp_path: Path) -> None:
    """What stands before and behind the marks stays."""
    page = tmp_path / "figures.md"
    page.write_text(f"# Figures\n{BEGIN}\nold\n{END}\n\n## More\n")
    put(page, "new\n")
    put(page, "newer\n")
    assert page.read_text() == f"# Figures\n{BEGIN}\nnewer\n{END}\n\n## More\n"
    kept = (ROOT / "docs" / "figures.md").read_text()
    assert 0 < kept.index(BEGIN) < kept.index(END)
