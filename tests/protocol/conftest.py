"""Reads the vectors of the wire. The files are data for both sides; nothing is decided here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parent.parent / "vectors"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test each case of a file: `@pytest.mark.vectors("hello.json", "decode")`."""
    for marker in metafunc.definition.iter_markers("vectors"):
        cases = [case for file in marker.args[:-1] for case in _load(file)[marker.args[-1]]]
        ids = [case["name"] if isinstance(case, dict) else ascii(case[0]) for case in cases]
        metafunc.parametrize("case", cases, ids=ids)


def pytest_configure(config: pytest.Config) -> None:
    """Say what the marker means."""
    config.addinivalue_line("markers", "vectors(*files, list): run with each case of the files")


def _load(file: str) -> Any:
    return json.loads((VECTORS / file).read_text(encoding="utf-8"))


@pytest.fixture
def vectors() -> Callable[[str], Any]:
    """Read one whole file of vectors."""
    return _load


@pytest.fixture
def payload_of() -> Callable[[dict[str, Any]], bytes]:
    """Make the bytes of a case from `payload`, `payload_hex` or `payload_parts`."""

    def make(case: dict[str, Any]) -> bytes:
        if "payload_hex" in case:
            return bytes.fromhex(case["payload_hex"]) * case.get("times", 1)
        parts = case.get("payload_parts") or [[case["payload"], 1]]
        return "".join(text * times for text, times in parts).encode()

    return make


@pytest.fixture(scope="session")
def field_traffic() -> list[dict[str, Any]]:
    """Messages of a real field, one a line, both directions."""
    text = (VECTORS / "field_traffic.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
