"""The shared vectors, on the node's files under CPython and under the real MicroPython."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_the_node_reads_the_wire_as_the_gateway_does(
    request: pytest.FixtureRequest, interpreter: str
) -> None:
    """Canonical forms, signatures, envelopes, refusal words and the field's traffic: all as the data
    says, in both interpreters."""
    words = [sys.executable]
    if interpreter == "micropython":
        words = [request.getfixturevalue("micropython"), "-X", "heapsize=2M"]
    done = subprocess.run(
        [
            *words,
            str(HERE / "vectors_driver.py"),
            str(ROOT / "device"),
            str(ROOT / "tests/vectors"),
        ],
        env={**os.environ, "MICROPYPATH": ".frozen"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    *wrong, last = done.stdout.strip().splitlines()
    assert wrong == []
    assert int(last.split()[1]) > 200
