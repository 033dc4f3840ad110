"""The list of seeded defects must not rot: each still fits the code, and its test is there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.append(str(HERE))  # where `python tests/mutants` finds them

import defects  # noqa: E402 - its place is named above
from defect import Defect  # noqa: E402 - its place is named above


def test_there_are_enough_and_each_has_its_name() -> None:
    """At least 90, of every part."""
    names = [defect.name for defect in defects.DEFECTS]
    assert len(names) == len(set(names)) >= 90


@pytest.mark.parametrize("defect", defects.DEFECTS, ids=lambda defect: defect.name)
def test_it_fits_the_code_and_its_test_is_there(defect: Defect) -> None:
    """Its place is found exactly once, what comes out is Python, and the named test exists."""
    text = (ROOT / defect.file).read_text("utf-8")
    assert text.count(defect.old) == 1
    compile(defect.applied(text), defect.file, "exec")
    file, _, function = defect.test.partition("::")
    name = function.partition("[")[0]
    found = (ROOT / file).read_text("utf-8")
    assert f"def {name}(" in found or f"\n{name} = " in found
