"""One gateway for one state folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import BusyError
from gateway.store.lock import NAME, StateLock, holder, who


def test_a_second_gateway_is_refused_by_name(tmp_path: Path) -> None:
    """The second one learns which process holds the folder; after release it may have it."""
    first, second = StateLock(tmp_path), StateLock(tmp_path)
    assert holder(tmp_path) is None
    first.take()
    assert holder(tmp_path) == os.getpid()
    with pytest.raises(BusyError, match=f"process {os.getpid()} on {socket.gethostname()} since"):
        second.take()
    first.release()
    second.take()
    second.release()
    assert holder(tmp_path) is None


def test_another_host_is_named_in_the_hint(tmp_path: Path) -> None:
    """On a shared disk the number alone would end somebody else's process."""
    first, second = StateLock(tmp_path), StateLock(tmp_path)
    first.take()
    (tmp_path / NAME).write_text("42 greenhouse 2026-01-01 12:00:00+00:00\n")
    found = who(tmp_path)
    assert found is not None
    assert str(found) == "process 42 on greenhouse since 2026-01-01 12:00:00+00:00"
    with pytest.raises(BusyError) as caught:
        second.take()
    assert "kill 42, on greenhouse" in caught.value.hint
    first.release()


def test_a_lock_without_a_name_is_told_as_such(tmp_path: Path) -> None:
    """An older gateway wrote its number alone; a torn file says nothing."""
    first = StateLock(tmp_path)
    first.take()
    for text, told in (("42\n", "process 42"), ("", "unknown"), ("junk", "unknown")):
        (tmp_path / NAME).write_text(text)
        assert str(who(tmp_path)) == told
    first.release()


def test_a_forked_child_does_not_hold_it(tmp_path: Path) -> None:
    """A plugin may have forked: when the gateway is gone its folder is free, whoever still lives."""
    program = (
        "import os, sys, time\nfrom pathlib import Path\nfrom gateway.store.lock import StateLock\n"
        "lock = StateLock(Path(sys.argv[1]))\nlock.take()\nchild = os.fork()\n"
        "if not child:\n    os.close(1)\n    os.close(2)\n    time.sleep(60)\nprint(child, flush=True)\nos._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lock = StateLock(tmp_path)
    try:
        lock.take()
        lock.release()
    finally:
        os.kill(int(done.stdout), signal.SIGKILL)
