"""One gateway for one state folder: a lock that the kernel drops when its process dies.

The file says whose it is (process, host, since when) and stays when the lock is gone: what is in it
counts only while somebody holds the lock, so a stale file keeps nobody out.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
import weakref
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from gateway.errors import BusyError, StoreError
from gateway.store.sqlite import make_folder

NAME = "gateway.lock"


class Holder(NamedTuple):
    """Who holds a state folder, as far as the file says."""

    pid: int = -1
    host: str = ""
    since: str = ""

    def __str__(self) -> str:
        known = f"process {self.pid}" if self.pid > 0 else "unknown"
        known += f" on {self.host}" if self.host else ""
        return known + (f" since {self.since}" if self.since else "")


class StateLock:
    """Held from start to stop; the file says whose it is."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Raises BusyError naming who holds it, StoreError where it cannot be made."""
        try:
            make_folder(self.path.parent)
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
            found = _read(file)
            file.close()
            raise _taken(self.path.parent, found) from error
        self._file = file
        # a child that somebody forks must not hold it when we are gone
        os.register_at_fork(after_in_child=partial(_let_go, weakref.ref(self)))
        self._sign()

    def release(self) -> None:
        """Let go; the file stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _sign(self) -> None:
        """Say whose it is; what cannot write one line here could journal nothing either."""
        assert self._file is not None
        since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        try:
            self._file.truncate(0)
            self._file.write(f"{os.getpid()} {socket.gethostname()} {since}\n")
            self._file.flush()
        except OSError as error:
            self.release()
            raise StoreError(
                f"the state folder {self.path.parent} cannot be written",
                why=error.strerror or str(error),
                hint="make space on its disk, or name another folder with --state-dir",
            ) from error


def _let_go(lock: weakref.ref[StateLock]) -> None:
    held = lock()
    if held is not None:
        held.release()


def holder(folder: Path) -> int | None:
    """The process id of the gateway that runs on this folder, None where none does."""
    found = who(folder)
    return None if found is None else found.pid


def who(folder: Path) -> Holder | None:
    """Who runs on this folder, None where nobody does."""
    try:
        file = (folder / NAME).open("r")
    except OSError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _read(file)
    return None


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


def _read(file: IO[str]) -> Holder:
    file.seek(0)
    pid, _, rest = file.read().strip().partition(" ")
    host, _, since = rest.partition(" ")
    return Holder(int(pid), host, since) if pid.isdigit() else Holder()


def _taken(folder: Path, found: Holder) -> BusyError:
    stop = f"kill {found.pid}" if found.pid > 0 else "sudo systemctl stop gateway"
    if found.host not in ("", socket.gethostname()):
        stop += f", on {found.host}"
    return BusyError(
        f"another gateway ({found}) uses {folder}",
        why="two gateways on one store would both answer the same nodes",
        hint=f"stop it first ({stop}), or start this one with another --state-dir",
    )
