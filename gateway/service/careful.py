"""After an unclean exit: the events that may have ended the process are named before they run (rule 2).

Rules of this file. At most the head of each lane was under way, so only these are looked at. They run in
groups, and a group is named in a file, synced once, before any of it runs. Where the process ends again,
those of the group that are not over are suspects, and each of them runs alone, named again. One that was
named in three exits is given up as a dead letter: in the group, and twice alone; its neighbours were in
the group. A clean exit leaves nothing behind, and costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

from gateway.failpoint import failpoint
from gateway.store.sqlite import sync_folder

log = logging.getLogger(__name__)
TIMES = 3
GROUP = 256
"""Named at once: a sync costs a slow card 10 ms and more, and so many are tried alone if it must be."""
RUNNING, TRYING = "running", "trying"


class Careful:
    """Which events to watch; empty in an ordinary life."""

    verdict = f"it ended the gateway {TIMES} times"

    def __init__(self, folder: Path) -> None:
        self._running = folder / RUNNING
        self._trying = folder / TRYING
        self._heads: dict[int, None] = {}
        """In the order in which they will come."""
        self._tried: dict[int, int] = {}
        """How often each was named, this time included."""
        self._named: set[int] = set()
        """In this life."""
        self._suspects: set[int] = set()
        self.over = asyncio.Event()
        """Set where nothing is watched any more: until then nothing else runs that could end us."""

    def begin(self, heads: Iterable[int]) -> None:
        """The gateway starts; `heads` are the first waiting rows of all lanes."""
        if self._running.exists():
            self._heads = dict.fromkeys(heads)
            self._tried = {n: times for n, times in self._read() if n in self._heads}
            self._suspects = set(self._tried)
            if self._heads:
                self._write(self._tried, anew=True)
                log.warning(
                    "the last run did not end cleanly: %d events are tried with care, %d of them alone",
                    len(self._heads),
                    len(self._suspects),
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

    @property
    def alone(self) -> bool:
        """True while nothing may run beside what runs."""
        return bool(self._suspects)

    def before(self, journal_id: int) -> bool:
        """Name an event before it runs; False for one that has ended the process too often."""
        if journal_id not in self._heads or journal_id in self._named:
            return True
        times = self._tried.get(journal_id, 0) + 1
        if times > TIMES:
            return False
        group = {journal_id: times}
        if not self._suspects:
            others = (n for n in self._heads if n not in self._named)
            group |= dict.fromkeys(islice(others, GROUP), 1)
        self._tried |= group
        self._named |= group.keys()
        self._write(group)
        return True

    def after(self, journal_id: int) -> None:
        """The event is over and we are still there."""
        if journal_id not in self._heads:
            return
        del self._heads[journal_id]
        self._tried.pop(journal_id, None)
        self._suspects.discard(journal_id)
        if not self._heads:
            self._trying.unlink(missing_ok=True)
            self.over.set()

    def _write(self, group: Mapping[int, int], *, anew: bool = False) -> None:
        """Behind what is there: the last group may still run, and its names must not be gone for a
        moment. What a killed process has left is tidied up in one step."""
        path = self._trying.with_suffix(".new") if anew else self._trying
        with path.open("w" if anew else "a") as file:
            file.writelines(f"{n} {times}\n" for n, times in group.items())
            file.flush()
            failpoint("careful.writing")
            os.fsync(file.fileno())
        if anew:
            path.replace(self._trying)
            sync_folder(self._trying.parent)

    def _read(self) -> list[tuple[int, int]]:
        """What was named, the last word on each last. A line that was cut off is nothing: what it was
        to name had not run."""
        try:
            lines = [line.split() for line in self._trying.read_text().splitlines()]
        except (OSError, ValueError):
            return []
        return [(int(w[0]), int(w[1])) for w in lines if len(w) == 2 and "".join(w).isdecimal()]
