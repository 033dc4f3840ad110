"""An error from every system call of the commit path, once and for good: no false acknowledgement.

strace makes the N-th call of a kind fail, for N = 1, 2, ... until a run meets no failure any more.
What was acknowledged in such a run must be in what a killed process leaves and in what a power cut
leaves, at every call of it: a sync that failed has written nothing, and no later one will.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import count, product
from pathlib import Path
from typing import NamedTuple

from tests.faults.power.child import DATABASE, FOLDER, Job
from tests.faults.power.disk import Image
from tests.faults.power.replay import Replay, Tally, lay_out
from tests.faults.power.rounds import CHILD, fast_folder, run_child
from tests.faults.power.trace import Event, record
from tests.faults.power.truth import Truth

CALLS = ("openat", "pwrite64", "fdatasync", "fsync", "ftruncate", "unlink")
ERRORS = ("EIO", "ENOSPC")
OPERATIONS = 14


class Shot(NamedTuple):
    """Which call fails how; `cold` has the writer's own thread open the store, as after trouble."""

    call: str
    error: str
    number: int
    for_good: bool
    cold: bool

    def __str__(self) -> str:
        when = f"{self.number}{' and all others' if self.for_good else ''}"
        return f"{self.error} from {self.call} {when}{', store opened anew' if self.cold else ''}"


class Found(NamedTuple):
    """What a shot did. `met` is False where the run has no such call any more."""

    shot: Shot
    met: bool
    acknowledged: int
    ended: str
    tally: Tally


class Series(NamedTuple):
    """A kind of failure; it has as many shots as a run has calls."""

    call: str
    error: str
    for_good: bool
    cold: bool


def series() -> list[Series]:
    """Every kind of failure."""
    return [Series(*each) for each in product(CALLS, ERRORS, (False, True), (False, True))]


def every_shot(seed: int, which: Series, first: int = 1) -> Iterator[Found]:
    """All shots of a series from the `first` call on. Threads make one call more or less from run to run:
    it is over when the run has met none of three numbers in a row."""
    missed = 0
    for number in count(first):
        found = shoot(Shot(which.call, which.error, number, which.for_good, which.cold), seed)
        missed = 0 if found.met else missed + 1
        if missed == 3:
            return
        if found.met:
            yield found


def shoot(shot: Shot, seed: int, **control: bool) -> Found:
    """One run with a failure, judged at each of its calls; `control` makes it one that must not pass."""
    with fast_folder() as folder:
        root = folder / "root"
        root.mkdir()
        first = 0
        # the log is removed by the last one who closes it, so that a reader would keep it
        alone = shot.call == "unlink"
        job = Job(
            str(root), seed, OPERATIONS, pages=8, reader=not alone, lives=1 + alone, **control
        )
        start: Image = {}
        if shot.cold:
            first = OPERATIONS
            start = _left_by(seed)
            lay_out(start, root)
            job = job._replace(first=first, last=2 * OPERATIONS, cold=True)
        events = _record(shot, job._replace(attempts=4 if shot.for_good else 0))
        replay = Replay(_truth(seed, job.last).judge, folder / "image", seed, start=start)
        tally = replay.run(events, subsets=0, first=first)
        met = any(event.injected for event in events)
        return Found(shot, met, replay.acknowledged - first, _end(events), tally)


@lru_cache(2)
def _truth(seed: int, last: int) -> Truth:
    """The same for all shots of a process: a third of a shot's time."""
    return Truth(seed, last)


@lru_cache(2)
def _left_by(seed: int) -> Image:
    """What an undisturbed run leaves, for another to begin with: half of a shot's time."""
    with fast_folder() as folder:
        root = folder / "root"
        root.mkdir()
        run_child(Job(str(root), seed, OPERATIONS, pages=8))
        return {str(p.relative_to(root)): p.read_bytes() for p in (root / FOLDER).iterdir()}


def _record(shot: Shot, job: Job) -> list[Event]:
    when = f"{shot.number}{'+' if shot.for_good else ''}"
    inject = f"{shot.call}:error={shot.error}:when={when}"
    paths = [Path(job.root), job.folder, *(job.folder / f"{DATABASE}{end}" for end in ("", "-wal"))]
    return record(["-m", CHILD, json.dumps(job)], Path(job.root), inject=inject, paths=paths)


def _end(events: list[Event]) -> str:
    said = [event.data.decode() for event in events if event.kind == "said"]
    return said[-1].partition(" ")[0] if said else "nothing"
