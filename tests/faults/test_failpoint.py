"""The handles of the fault lab themselves: terms are read, counted and carried out, once."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import failpoint as points
from gateway.errors import SettingsError
from gateway.failpoint import FailpointError, arm, failpoint


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    arm("")


def test_nothing_happens_where_nothing_is_armed() -> None:
    """In an ordinary life, and at every other label."""
    failpoint("writer.committed")
    arm("writer.begun=raise")
    failpoint("writer.committed")
    with pytest.raises(FailpointError):
        failpoint("writer.begun")


def test_it_happens_at_the_named_time_and_once() -> None:
    """`@3` lets two pass, and the fourth too."""
    arm("a=raise@3")
    failpoint("a")
    failpoint("a")
    with pytest.raises(FailpointError, match="a"):
        failpoint("a")
    failpoint("a")


def test_it_may_happen_from_a_time_on() -> None:
    """`@2+`: the second time and all others."""
    arm("a=raise@2+")
    failpoint("a")
    for _ in range(3):
        with pytest.raises(FailpointError):
            failpoint("a")


def test_eio_is_what_a_broken_disk_says() -> None:
    """An OSError with errno EIO, at whatever label comes second."""
    arm("*=eio@2")
    failpoint("a")
    with pytest.raises(OSError, match="b") as caught:
        failpoint("b")
    assert caught.value.errno == errno.EIO


def test_labels_are_written_down_when_they_are_reached_first(tmp_path: Path) -> None:
    """That is how the lab knows which label a run reaches."""
    arm(f"*=trace:{tmp_path / 'labels'}")
    for label in ("a", "b", "a"):
        failpoint(label)
    assert (tmp_path / "labels").read_text() == "a\nb\n"


def test_kill_ends_the_process() -> None:
    """By SIGKILL: no exit handler, no `finally`."""
    program = (
        "from gateway.failpoint import failpoint, from_environment\n"
        "from_environment()\n"
        "try:\n    failpoint('a')\nfinally:\n    print('survived', flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, points.VARIABLE: "a=kill"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")


@pytest.mark.parametrize("text", ["a", "a=", "a=explode", "a=kill@x", "=kill"])
def test_what_cannot_be_read_is_told(text: str) -> None:
    """With the term, and what may stand there."""
    with pytest.raises(SettingsError) as caught:
        arm(text)
    assert "HELLOGATE_FAILPOINT" in caught.value.what
    assert "kill" in (caught.value.hint or "")
