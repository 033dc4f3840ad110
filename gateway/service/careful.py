"""After an unclean exit: the events that may have ended the process run one at a time (rule 2).

Rules of this file. At most the head of each lane was under way, so only these are looked at: each is
named in a file, synced, before it runs. One that is found named there after three exits is given up
as a dead letter. A clean exit leaves nothing behind, and costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from gateway.failpoint import failpoint
from gateway.store.sqlite import sync_folder

log = logging.getLogger(__name__)
TIMES = 3
RUNNING, TRYING = "running", "trying"


class Careful:
    """Which events to watch; empty in an ordinary life."""

    verdict = f"it ended the gateway {TIMES} times"

    def __init__(self, folder: Path) -> None:
        self._running = folder / RUNNING
        self._trying = folder / TRYING
        self._heads: set[int] = set()
        self._last = (0, 0)
        self.over = asyncio.Event()
        """Set where nothing is watched any more: until then nothing else runs that could end us."""

    def begin(self, heads: Iterable[int]) -> None:
        """The gateway starts; `heads` are the first waiting rows of all lanes."""
        if self._running.exists():
            self._heads = set(heads)
            self._last = self._read()
            if self._heads:
                log.warning(
                    "the last run did not end cleanly: %d events are tried one by one",
                    len(self._heads),
                )
        self._running.write_text(f"{os.getpid()}\n")
        if not self._heads:
            self.over.set()

    def end(self) -> None:
        """The gateway has stopped cleanly."""
        self._running.unlink(missing_ok=True)
        self._trying.unlink(missing_ok=True)

    def __bool__(self) -> bool:
        return bool(self._heads)

    def before(self, journal_id: int) -> bool:
        """Name an event before it runs; False for one that has ended the process too often."""
        if journal_id not in self._heads:
            return True
        name, times = self._last
        times = times + 1 if name == journal_id else 1
        self._last = (journal_id, times)
        if times > TIMES:
            return False
        is_new = not self._trying.exists()
        with self._trying.open("w") as file:
            file.write(f"{journal_id} {times}\n")
            file.flush()
            failpoint("careful.writing")
            os.fsync(file.fileno())
        if is_new:  # its name is on disk otherwise, and each sync costs a slow card 10 ms and more
            sync_folder(self._trying.parent)
        return True

    def after(self, journal_id: int) -> None:
        """The event is over and we are still there."""
        if journal_id in self._heads:
            self._heads.discard(journal_id)
            if not self._heads:
                self._trying.unlink(missing_ok=True)
                self.over.set()

    def _read(self) -> tuple[int, int]:
        try:
            number, times = self._trying.read_text().split()
            return int(number), int(times)
        except (OSError, ValueError):
            return 0, 0
