"""The wish to end, which comes in the middle of anything."""

from __future__ import annotations

import signal
import sys
from itertools import count
from threading import Thread
from types import FrameType
from typing import Any

from gateway.cli.ending import Ending


def struck(ending: Ending, moment: int) -> Thread:
    """A thread that waits for the end, and is signalled just before the line that it reaches as this one."""
    lines = count()

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line" and next(lines) == moment:
            ending.take(signal.SIGTERM, None)
        return trace

    def wait() -> None:
        sys.settrace(trace)
        ending.wait()

    thread = Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_a_signal_in_the_middle_of_the_wait_ends_it() -> None:
    """Whatever line the main thread is at, in the standard library too: no handler waits for a lock that it
    interrupted, and no wish is lost."""
    for moment in range(30):
        ending = Ending()
        thread = struck(ending, moment)
        thread.join(0.05)
        if not ending.signal:  # it waits already: no line is left to come
            ending.take(signal.SIGTERM, None)
        thread.join(10)
        assert not thread.is_alive(), f"it waits for ever when it is signalled at its line {moment}"
        assert ending.signal == signal.SIGTERM


def test_without_a_signal_it_waits_so_long() -> None:
    """False after its time, True at once where the wish is there already, also when asked again."""
    ending = Ending()
    assert not ending.wait(0.01)
    ending.take(signal.SIGINT, None)
    ending.take(signal.SIGINT, None)  # the same wish, said to the process and to its group
    assert ending.wait()
    assert ending.wait(0.0)
