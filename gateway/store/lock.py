"""One gateway for one state folder: a lock that the kernel drops when its process dies."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from gateway.errors import BusyError, StoreError

NAME = "gateway.lock"


class StateLock:
    """Held from start to stop; the file says whose it is."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Raises BusyError naming the process that holds it, StoreError where it cannot be made."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = self.path.open("a+")
        except OSError as error:
            raise StoreError(
                f"the state folder {self.path.parent} cannot be used",
                why=error.strerror or str(error),
                hint="make it writable for this user, or name another one with --state-dir",
            ) from error
        try:
            _lock(file)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise BusyError(
                f"another gateway (process {holder}) uses {self.path.parent}",
                why="two gateways on one store would both answer the same nodes",
                hint=f"stop it first (kill {holder}), or start this one with another --state-dir",
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let go; the file stays."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock(file: IO[str], tries: int = 20) -> None:
    """A command that looks who runs holds the lock for an instant: try for a fifth of a second."""
    for number in range(tries):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if number == tries - 1:
                raise
            time.sleep(0.01)
        else:
            return


def holder(folder: Path) -> int | None:
    """The process id of the gateway that runs on this folder, None where none does."""
    try:
        file = (folder / NAME).open("r")
    except OSError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            text = file.read().strip()
            return int(text) if text.isdigit() else -1
    return None
