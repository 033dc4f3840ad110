"""How far the sweep of I/O errors is: in a file, so that it can be stopped and gone on with."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

from tests.faults.power.sweep import CALLS, Found, Series, every_shot, series

PIECE = 20
"""Shots in one piece of work."""
USUAL = {"openat": 10, "pwrite64": 150, "fdatasync": 26, "fsync": 3, "ftruncate": 5, "unlink": 1}
"""Calls of each kind in a run, about: for the estimate alone."""


@dataclass
class Row:
    """What one series came to so far."""

    next: int = 1
    over: bool = False
    failed: int = 0
    acknowledged: int = 0
    false: int = 0
    """Shots behind which something acknowledged was gone, or the store was not sound."""
    ends: dict[str, int] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    def add(self, found: list[Found]) -> None:
        """One more piece."""
        self.over = len(found) < PIECE
        self.failed += len(found)
        self.acknowledged += sum(each.acknowledged for each in found)
        self.ends = dict(Counter(self.ends) + Counter(each.ended for each in found))
        for each in found:
            self.next = each.shot.number + 1
            self.false += bool(each.tally.wrong)
            self.words += [f"{each.shot}: {words}" for words in each.tally.words]


class Swept:
    """All series, and the seed of their plan."""

    def __init__(self, file: Path, seed: int) -> None:
        self._file = file
        kept = json.loads(file.read_text()) if file.exists() else {"seed": seed, "rows": {}}
        self.seed: int = kept["seed"]
        self.rows = {
            each: Row(**kept["rows"].get(" ".join(map(str, each)), {})) for each in series()
        }
        self._began, self._before = time.monotonic(), self.failed

    @property
    def failed(self) -> int:
        """Calls that were made to fail."""
        return sum(row.failed for row in self.rows.values())

    @property
    def false(self) -> int:
        """Shots that went wrong."""
        return sum(row.false for row in self.rows.values())

    def run(self, jobs: int) -> Iterator[Series]:
        """Do what is left, in pieces; after each its series."""
        with ProcessPoolExecutor(jobs) as pool:
            left = [each for each, row in self.rows.items() if not row.over]
            under_way: dict[Future[list[Found]], Series] = {}
            try:
                while left or under_way:
                    while left and len(under_way) < jobs:
                        each = left.pop(0)
                        future = pool.submit(piece, self.seed, each, self.rows[each].next)
                        under_way[future] = each
                    for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                        each = under_way.pop(future)
                        self.rows[each].add(future.result())
                        self.save()
                        if not self.rows[each].over:
                            left.insert(0, each)
                        yield each
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def save(self) -> None:
        """Write it down, whole or not at all."""
        rows = {" ".join(map(str, each)): asdict(row) for each, row in self.rows.items()}
        fresh = self._file.with_suffix(".new")
        fresh.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps({"seed": self.seed, "rows": rows}))
        fresh.replace(self._file)

    def line(self) -> str:
        """How far it is, and for how long it will go on."""
        rate = (self.failed - self._before) / (time.monotonic() - self._began)
        rest = sum(
            max(USUAL[each.call] - row.failed, 0) for each, row in self.rows.items() if not row.over
        )
        left = f", about {rest / rate / 60:.0f} min left" if rate and rest else ""
        return (
            f"I/O errors   {self.failed:>10,} calls failed, {self.false} wrong, {rate:.1f}/s{left}"
        )

    def report(self) -> str:
        """A line for each kind of call and error."""
        lines = ["| call | error | once | for good | once, opened anew | for good, opened anew | acknowledged | false |"]  # fmt: skip
        lines.append("|---" * 8 + "|")
        for call in CALLS:
            for error in sorted({each.error for each in self.rows}):
                mine = {
                    e: row for e, row in self.rows.items() if (e.call, e.error) == (call, error)
                }
                count = {(e.cold, e.for_good): row.failed for e, row in mine.items()}
                cells = [
                    f"{count[cold, good]:,}" for cold in (False, True) for good in (False, True)
                ]
                said = sum(row.acknowledged for row in mine.values())
                false = sum(row.false for row in mine.values())
                lines.append(f"| {call} | {error} | {' | '.join(cells)} | {said:,} | {false} |")
        ends = sum((Counter(row.ends) for row in self.rows.values()), Counter[str]())
        shown = ", ".join(f"{number:,} {end}" for end, number in sorted(ends.items()))
        words = [f"  {words}" for row in self.rows.values() for words in row.words[:20]]
        return "\n".join([*lines, f"{self.line()} ({shown})", *words])


def piece(seed: int, which: Series, first: int) -> list[Found]:
    """Some shots of a series; fewer than `PIECE` where it is over."""
    return list(islice(every_shot(seed, which, first), PIECE))
