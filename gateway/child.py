"""A child that must not outlive us: the embedded broker, and nodes without hardware."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# The kernel kills the child when the thread that started it is gone, however it went; the request survives
# exec. Asking for it in a process of its own, and not between fork and exec, keeps Python out of the child
# of a process with threads. Where there is no prctl, nothing ends what a killed parent has left behind.
_DIE_WITH_PARENT = """\
import ctypes, os, signal, sys
prctl = getattr(ctypes.CDLL(None), "prctl", None)
if prctl is not None:
    prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


def bound(command: Sequence[str]) -> list[str]:
    """The command line that runs this command until we end."""
    if not sys.executable:
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *command]
