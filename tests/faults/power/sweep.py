"""An error from every system call of the commit path, once and for good: no false acknowledgement.

strace makes the N-th call of a kind fail, for N = 1, 2, ... until a run meets no failure any more.
What was acknowledged in such a run must be in what a killed process leaves and in what a power cut
leaves, at every call of it: a sync that failed has written nothing, and no later one will.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

from tests.faults.power.child import DATABASE, FOLDER, Job
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


def series() -> Iterator[tuple[str, str, bool, bool]]:
    """Every kind of failure; each has as many shots as a run has calls."""
    for call in CALLS:
        for error in ERRORS:
            for for_good in (False, True):
                for cold in (False, True):
                    yield call, error, for_good, cold


def every_shot(seed: int) -> Iterator[Found]:
    """All shots of all series."""
    for call, error, for_good, cold in series():
        for number in count(1):
            found = shoot(Shot(call, error, number, for_good, cold), seed)
            if not found.met:
                break
            yield found


def shoot(shot: Shot, seed: int, **control: bool) -> Found:
    """One run with a failure, judged at each of its calls; `control` makes it one that must not pass."""
    with fast_folder() as folder:
        root = folder / "root"
        root.mkdir()
        first = 0
        job = Job(str(root), seed, OPERATIONS, pages=8, **control)
        if shot.cold:
            first = OPERATIONS
            run_child(job)
            job = job._replace(first=first, last=2 * OPERATIONS, cold=True)
        start = {str(p.relative_to(root)): p.read_bytes() for p in (root / FOLDER).iterdir()} if first else {}  # fmt: skip
        if start:
            lay_out(start, root)
        events = _record(shot, job._replace(attempts=4 if shot.for_good else 0))
        replay = Replay(Truth(seed, job.last).judge, folder / "image", seed, start=start)
        tally = replay.run(events, subsets=0, first=first)
        met = any(event.injected for event in events)
        return Found(shot, met, replay.acknowledged - first, _end(events), tally)


def _record(shot: Shot, job: Job) -> list[Event]:
    when = f"{shot.number}{'+' if shot.for_good else ''}"
    inject = f"{shot.call}:error={shot.error}:when={when}"
    paths = [Path(job.root), job.folder, *(job.folder / f"{DATABASE}{end}" for end in ("", "-wal"))]
    return record(["-m", CHILD, json.dumps(job)], Path(job.root), inject=inject, paths=paths)


def _end(events: list[Event]) -> str:
    said = [event.data.decode() for event in events if event.kind == "said"]
    return said[-1].partition(" ")[0] if said else "nothing"
