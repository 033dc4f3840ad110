"""A power cut behind every system call of a recorded run, and the gateway started on what is left.

Four kinds of image at each call: everything that was written (a killed process), only what was
synced, some of what was not, and that torn at sectors. An image that was tried already is not tried
again, and not counted.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.errors import GatewayError
from tests.faults.power.child import FOLDER
from tests.faults.power.disk import Disk, Image, torn
from tests.faults.power.trace import Event
from tests.faults.power.truth import Wrong

Chosen = tuple[bool, frozenset[int], tuple[tuple[int, bytes | None], ...]]
"""Whether it is the cache itself, which names, and what of which write."""
Judge = Callable[[Path, bool], list[int]]
"""(state folder, whether nothing was acknowledged yet) -> behind which operations it stands."""
SAID = "said"
"""Stands for an image that is known to be wrong: it is one failure, however long it would last."""


@dataclass
class Tally:
    """What was tried, and what went wrong."""

    calls: int = 0
    states: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    words: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Join another's counts."""
        self.calls += other.calls
        self.states += other.states
        self.wrong += other.wrong
        self.words = (self.words + other.words)[:20]


class Replay:
    """One recorded run."""

    def __init__(
        self, judge: Judge, scratch: Path, seed: int, *, start: Image | None = None
    ) -> None:
        self._judge = judge
        self._scratch = scratch
        self._dice = random.Random(f"cut {seed}")
        self._disk = Disk(start)
        self._known: dict[Chosen, list[int] | str] = {}
        self._epoch = 0
        self._seen = 0
        self.left: tuple[Image, int] | None = None
        """One of the images, by chance, and behind which operation it stands: to go on from."""
        self.begun = self.acknowledged = 0
        self.tally = Tally()

    def run(self, events: list[Event], *, subsets: int = 2, first: int = 0) -> Tally:
        """Play the events; with `subsets` images of each kind that chance decides."""
        self.begun = self.acknowledged = first
        for number, event in enumerate(events):
            if event.kind == "said":
                self._hear(event.data.decode())
            else:
                self._disk.play(event)
                self.tally.calls += 1
            if self._disk.epoch != self._epoch:
                self._epoch = self._disk.epoch
                self._known.clear()
            for kind, chosen in self._cuts(0 if event.kind == "said" else subsets):
                self._try(kind, chosen, number)
        return self.tally

    def _hear(self, text: str) -> None:
        word, _, number = text.partition(" ")
        if word == "begun":
            self.begun = int(number)
        elif word == "acknowledged":
            self.acknowledged = int(number)

    def _cuts(self, subsets: int) -> Iterator[tuple[str, Chosen]]:
        """What of the cache is on the disk, in each image."""
        changes, namings = self._disk.pending(), self._disk.namings()
        everything = frozenset(naming.number for naming in namings)
        yield (
            "everything",
            (self._disk.forgetful, everything, tuple((change.number, None) for change in changes)),
        )
        yield "synced", (False, frozenset(), ())
        for _ in range(subsets):
            likely = self._dice.choice((0.15, 0.5, 0.85))
            some = frozenset(n for n in everything if self._dice.random() < likely)
            kept = [change for change in changes if self._dice.random() < likely]
            yield "some", (False, some, tuple((change.number, None) for change in kept))
            parts = tuple((change.number, torn(change, self._dice)) for change in kept)
            yield "torn", (False, some, parts)

    def _try(self, kind: str, chosen: Chosen, number: int) -> None:
        found = self._known.get(chosen)
        if found is None:
            self.tally.states[kind] += 1
            names = [naming for naming in self._disk.namings() if naming.number in chosen[1]]
            cut = dict(chosen[2])
            image = self._disk.live() if kind == "everything" else self._disk.image(names, cut)
            found = self._known[chosen] = self._reopen(image)
            self._perhaps_keep(image, found)
        if found == SAID:
            return
        if isinstance(found, str):
            self._is_wrong(kind, number, found)
        elif not any(self.acknowledged <= place <= self.begun for place in found):
            self._is_wrong(kind, number, f"holds what was there behind {found or 'no operation'}")
        else:
            return
        self._known[chosen] = SAID

    def _perhaps_keep(self, image: Image, found: list[int] | str) -> None:
        self._seen += 1
        if not self.acknowledged:
            return  # its tables may not be there yet, which the next life would be blamed for
        if found and not isinstance(found, str) and self._dice.random() < 1 / self._seen:
            # the first of those that look alike: an image without tables looks as behind an
            # operation that changed nothing, and whoever goes on from there has no tables
            self.left = image, min(found)

    def _is_wrong(self, kind: str, number: int, why: str) -> None:
        self.tally.wrong[kind] += 1
        self.tally.words.append(
            f"call {number}, {kind}: {self.acknowledged} acknowledged, {self.begun} begun: {why}"
        )
        del self.tally.words[20:]

    def _reopen(self, image: Image) -> list[int] | str:
        lay_out(image, self._scratch)
        try:
            return self._judge(self._scratch / FOLDER, not self.acknowledged)
        except (Wrong, GatewayError) as error:
            return f"{type(error).__name__}: {error}"


def lay_out(image: Image, root: Path) -> None:
    """Write an image below a folder, and nothing else into it."""
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for entry in os.scandir(folder):
        os.unlink(entry)
    if not image:
        folder.rmdir()
    for path, data in image.items():
        handle = os.open(f"{root}/{path}", os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(handle, data)
        os.close(handle)
