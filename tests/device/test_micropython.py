"""The scenarios again, in MicroPython: the files here that need nothing but the node run there as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interpreter import played

HERE = Path(__file__).parent
SAME = sorted(
    path.stem
    for path in HERE.glob("test_*.py")
    if not {"pytest", "hypothesis", "__future__"} & set(path.read_text().replace(",", " ").split())
)

DRIVER = """
import sys
sys.path.insert(0, sys.argv[1])
sys.path.insert(0, sys.argv[2])
module = __import__(sys.argv[3])
for name in sorted(dir(module)):
    if name.startswith("test_"):
        try:
            getattr(module, name)()
            print("ok", name)
        except Exception as error:
            print("failed", name)
            sys.print_exception(error)
"""


def test_there_are_scenarios() -> None:
    """The list is made from the files themselves."""
    assert {"test_commands", "test_config", "test_greeting", "test_node", "test_trial"} <= set(SAME)


@pytest.mark.parametrize("name", SAME)
def test_the_same_holds_there(micropython: str, tmp_path: Path, name: str) -> None:
    """Each scenario of this file, with MicroPython's dictionaries, texts and json."""
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    said = played(micropython, driver, HERE.parents[1] / "device", HERE, name, heap="4M")
    lines = said.splitlines()
    assert [line for line in lines if line.startswith("failed")] == [], said
    written = [
        line.split("(")[0].split()[1]
        for line in (HERE / f"{name}.py").read_text().splitlines()
        if line.startswith("def test_")
    ]
    assert sorted(written) == [line.split()[1] for line in lines]
