"""One round: a few lives of one store, each begun on what a power cut has left of the one before."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.power.child import Job
from tests.faults.power.disk import Image
from tests.faults.power.replay import Replay, Tally, lay_out
from tests.faults.power.trace import Event, record
from tests.faults.power.truth import Truth

CHILD = "tests.faults.power.child"


@contextmanager
def fast_folder() -> Iterator[Path]:
    """A folder in memory where there is one: images are written by the thousand."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def run_child(job: Job) -> list[Event]:
    """Record a job; raises AssertionError where it did not do all of it."""
    events = record(["-m", CHILD, json.dumps(job)], Path(job.root))
    assert events[-1].data == b"done", events[-1]
    return events


def play_round(
    seed: int, *, count: int = 40, lives: int = 2, subsets: int = 2, **control: Any
) -> Tally:
    """Some `count` operations in each life, a power cut behind every call of it.

    `control` changes the job, to make it one that must not pass.
    """
    dice = random.Random(f"round {seed}")
    tally = Tally()
    start: Image = {}
    done = 0
    with fast_folder() as folder:
        for number in range(lives):
            root = folder / "root"
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir()
            if start:
                lay_out(start, root)
            job = Job(
                str(root), seed, done + count, done,
                pages=dice.choice((8, 40, 2000)), lives=dice.randint(1, 3),
                reader=dice.random() < 0.7, **control,
            )  # fmt: skip
            truth = Truth(seed, job.last)
            replay = Replay(truth.judge, folder / "image", seed + number, start=start)
            tally.add(replay.run(run_child(job), subsets=subsets, first=done))
            if replay.left is None:
                break
            start, done = replay.left
    return tally
