"""What a node is made of on this machine: found where it is named, and missed with words."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import parts
from gateway.errors import GatewayError


@pytest.mark.parametrize(
    ("says", "is_good"),
    [
        ("micropython 1 24 0 preview", True),
        ("micropython 1 23 9 ", False),
        ("micropython", False),
        ("cpython 3 11 2", False),
        ("", False),
    ],
)
def test_micropython_may_be_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, is_good: bool
) -> None:
    """MICROPYTHON names the interpreter; what the node does not run on is refused, not passed over in silence."""
    binary = tmp_path / "micropython"
    binary.write_text(f"#!/bin/sh\necho {says}\n")
    binary.chmod(0o755)
    monkeypatch.setenv("MICROPYTHON", str(binary))
    if is_good:
        assert parts.find_micropython() == binary
        return
    with pytest.raises(GatewayError) as caught:
        parts.find_micropython()
    assert str(binary) in caught.value.what
    assert says.strip() in caught.value.why


def test_a_name_alone_is_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MICROPYTHON=micropython is the one in PATH, for whoever starts it from elsewhere too."""
    binary = tmp_path / "a-micropython"
    binary.write_text("#!/bin/sh\necho micropython 1 25 0\n")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("MICROPYTHON", binary.name)
    assert parts.find_micropython() == binary


def test_a_micropython_that_is_not_there_is_three_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path with a slip of the pen, and a file that is no program."""
    monkeypatch.setenv("MICROPYTHON", str(tmp_path / "micropython"))
    for reason in ("No such file", "Permission denied"):
        with pytest.raises(GatewayError) as caught:
            parts.find_micropython()
        assert reason in caught.value.why
        (tmp_path / "micropython").touch()


def test_missing_parts_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without umqtt says how to get it."""
    monkeypatch.setattr(parts, "_is_device", lambda _folder: True)
    monkeypatch.setenv("UMQTT_DIR", str(tmp_path))
    with pytest.raises(GatewayError) as caught:
        parts.find_parts()
    assert "fetch_umqtt" in caught.value.hint
    monkeypatch.setattr(parts, "_is_device", lambda _folder: False)
    with pytest.raises(GatewayError, match="files are not here"):
        parts.find_parts()
