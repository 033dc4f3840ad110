"""The list of seeded defects must not rot: each still fits the code, and its test is there."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
spec = importlib.util.spec_from_file_location("defects", HERE / "defects.py")
assert spec is not None
assert spec.loader is not None
defects = importlib.util.module_from_spec(spec)
sys.modules["defects"] = defects
spec.loader.exec_module(defects)


def test_there_are_enough_and_each_has_its_name() -> None:
    """At least 25."""
    names = [defect.name for defect in defects.DEFECTS]
    assert len(names) == len(set(names)) >= 25


@pytest.mark.parametrize("defect", defects.DEFECTS, ids=lambda defect: defect.name)
def test_it_fits_the_code_and_its_test_is_there(defect: defects.Defect) -> None:
    """Its place is found exactly once, what comes out is Python, and the named test exists."""
    text = (ROOT / defect.file).read_text("utf-8")
    assert text.count(defect.old) == 1
    compile(defect.applied(text), defect.file, "exec")
    file, _, function = defect.test.partition("::")
    assert f"def {function.partition('[')[0]}(" in (ROOT / file).read_text("utf-8")
