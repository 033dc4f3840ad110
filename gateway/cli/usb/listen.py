"""What a board prints, read without disturbing it.

Rules of this file. The port may go away with a reset and come back: mpremote is started again.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from gateway.cli import output
from gateway.cli.usb.board import listening

_KEPT = 50
_AGAIN = 0.3
_ITS_OWN = ("Connected to MicroPython", "Use Ctrl-]")


class Listener:
    """Reads a serial line in a thread of its own; each line goes to `on_line`."""

    def __init__(self, device: str, on_line: Callable[[str], None] = lambda _line: None) -> None:
        self._device = device
        self._on_line = on_line
        self._lines: deque[str] = deque(maxlen=_KEPT)
        self._end = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)

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
        process = self._process
        if process is not None:
            process.terminate()
        self._thread.join(5)

    def last(self, count: int) -> list[str]:
        """The last lines that the board printed."""
        return list(self._lines)[-count:]

    def _read(self) -> None:
        while not self._end.is_set():
            process, keyboard = listening(self._device)
            self._process = process
            if self._end.is_set():
                process.terminate()
            assert process.stdout is not None
            with process.stdout:
                for raw in process.stdout:
                    self._take(raw.decode("utf-8", "replace").strip())
            process.wait()
            os.close(keyboard)
            self._end.wait(_AGAIN)

    def _take(self, line: str) -> None:
        if line and not line.startswith(_ITS_OWN) and not line.startswith("mpremote:"):
            line = output.clean(line)
            self._lines.append(line)
            self._on_line(line)
