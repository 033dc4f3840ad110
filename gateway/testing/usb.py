"""A board on USB that is none: the real MicroPython interpreter behind a PTY, with a board's manners.

It boots into `main.py` where there is one, gives its prompt when that ends or Ctrl+C stops it, knows
soft and hard resets, and keeps its files in a folder. `mpremote` takes it for a serial port.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import subprocess
import termios
import threading
import tty
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

_HARD_RESET = 71  # the exit code by which the stand-in for machine.reset() asks for one
_MACHINE = f"""
from umachine import *
import sys
def reset():
    sys.exit({_HARD_RESET})
"""
_ENTER_RAW, _SOFT_RESET = b"\x01", b"soft reboot\r\n"


class UsbBoard:
    """A board in a folder; `device` is its port."""

    def __init__(
        self, micropython: Path, folder: Path, *, heap: str = "256k", path: str = ""
    ) -> None:
        self._micropython = micropython
        self.folder = folder
        self._heap = heap
        stand_ins = folder.parent / f"{folder.name}-firmware"
        for made in (folder, stand_ins):
            made.mkdir(parents=True, exist_ok=True)
        (stand_ins / "machine.py").write_text(_MACHINE)
        self._path = ":".join(part for part in (str(stand_ins), path, "lib", ".frozen") if part)
        self._outer, self._slave = pty.openpty()  # the USB cable
        tty.setraw(self._slave)
        self.device = os.ttyname(self._slave)
        self.boots = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join(10)
        os.close(self._outer)
        os.close(self._slave)

    # -- power ------------------------------------------------------------------------------

    def _live(self) -> None:
        boot = True
        while not self._end.is_set():
            process, inner = self._start(boot)
            self.boots += boot
            if not boot:  # Ctrl+D at the raw prompt: a board is at the raw prompt again after it
                os.write(self._outer, _SOFT_RESET)
                os.write(inner, _ENTER_RAW)
            self._carry(process, inner)
            boot = process.returncode == _HARD_RESET

    def _start(self, boot: bool) -> tuple[subprocess.Popen[bytes], int]:
        inner, its_end = pty.openpty()
        _as_a_wire(its_end)
        main = (
            ["-i", "main.py", "--dir", "."] if boot and (self.folder / "main.py").exists() else []
        )
        environment: Mapping[str, str] = {"MICROPYPATH": f":{self._path}", "TERM": "dumb"}
        process = subprocess.Popen(
            [str(self._micropython), "-X", f"heapsize={self._heap}", *main],
            cwd=self.folder,
            env=environment,
            stdin=its_end,
            stdout=its_end,
            stderr=its_end,
            start_new_session=True,
            preexec_fn=_own_terminal,
        )
        os.close(its_end)
        return process, inner

    def _carry(self, process: subprocess.Popen[bytes], inner: int) -> None:
        """Bytes both ways until the interpreter ends."""
        try:
            while process.poll() is None and not self._end.is_set():
                ready, _, _ = select.select([inner, self._outer], [], [], 0.05)
                for one in ready:
                    other = inner if one == self._outer else self._outer
                    os.write(other, os.read(one, 4096))
        except OSError:
            pass  # the interpreter has closed its end
        finally:
            if self._end.is_set():
                process.send_signal(signal.SIGKILL)
            process.wait(10)
            os.close(inner)


def _as_a_wire(terminal: int) -> None:
    """Bytes as they are, no echo; Ctrl+C still interrupts what runs, as it does on a board."""
    tty.setraw(terminal)
    settings = termios.tcgetattr(terminal)
    settings[3] |= termios.ISIG
    termios.tcsetattr(terminal, termios.TCSANOW, settings)


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
