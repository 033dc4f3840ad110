"""`make soak-crash`: a kill at every label, then ordered pairs of kills, for as long as you like.

python -m tests.faults.crash.soak [--pairs 400] [--seed N] [--jobs N] [--file FILE]

What was done so far stands in FILE, with its seed; the same FILE goes on where it was left.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from queue import SimpleQueue

from tests.faults.crash.lab import Lab, lab
from tests.faults.crash.labels import labels
from tests.faults.crash.lives import LIVES, Life, working_day

STRUCK, MISSED = "struck", "not reached"
"""What an attempt came to; anything else is what went wrong."""
Attempt = Callable[[Lab], bool]


class Done:
    """Name of an attempt -> what it came to, in a file."""

    def __init__(self, file: Path, seed: int) -> None:
        self._file = file
        kept = json.loads(file.read_text()) if file.exists() else {"seed": seed}
        self.seed: int = kept["seed"]
        self.reached: dict[str, list[str]] = kept.get("reached", {})
        self.labels: dict[str, str] = kept.get("labels", {})
        self.pairs: dict[str, str] = kept.get("pairs", {})

    def save(self) -> None:
        """Write it down, whole or not at all."""
        fresh = self._file.with_suffix(".new")
        fresh.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps({k: v for k, v in vars(self).items() if k != "_file"}))
        fresh.replace(self._file)

    def count(self, found: dict[str, str]) -> tuple[int, int, int]:
        """How many struck, were not reached, went wrong."""
        words = list(found.values())
        struck, missed = words.count(STRUCK), words.count(MISSED)
        return struck, missed, len(words) - struck - missed


class Labs:
    """Some labs side by side: a life waits for other processes most of its time."""

    def __init__(self, found: list[Lab]) -> None:
        self._free: SimpleQueue[Lab] = SimpleQueue()
        for each in found:
            self._free.put(each)
        self._jobs = len(found)

    def run(self, attempts: Iterator[tuple[str, Attempt]]) -> Iterator[tuple[str, str]]:
        """What each came to, as they end; `attempts` is asked for the next one when a lab is free."""
        with ThreadPoolExecutor(self._jobs) as pool:
            under_way: dict[Future[str], str] = {}
            while True:
                for name, attempt in islice(attempts, self._jobs - len(under_way)):
                    under_way[pool.submit(self._try, attempt)] = name
                if not under_way:
                    return
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    yield under_way.pop(future), future.result()

    def _try(self, attempt: Attempt) -> str:
        mine = self._free.get()
        try:
            return STRUCK if attempt(mine) else MISSED
        except (AssertionError, OSError) as error:  # a TimeoutError is one of the latter
            return f"{type(error).__name__}: {error}"
        finally:
            self._free.put(mine)


class Progress:
    """A line every ten seconds, with an estimate."""

    def __init__(self, what: str, begun: int) -> None:
        self._what, self._begun = what, begun
        self._since = self._told = time.monotonic()

    def tell(self, done: int, wanted: int, more: str) -> None:
        """Where it is."""
        now = time.monotonic()
        if now - self._told < 10 and done < wanted:
            return
        self._told = now
        rate = (done - self._begun) / (now - self._since)
        left = f", about {(wanted - done) / rate / 60:.0f} min left" if rate else ""
        print(f"{self._what:<12} {done} of {wanted}, {more}{left}", flush=True)


def every_label(labs: Labs, done: Done) -> None:
    """A kill at each."""
    where = labels()
    progress = Progress("labels", len(done.labels))

    def attempt(label: str) -> Attempt:
        return lambda mine: f"{label}=kill" in mine.kill(label)

    left = [label for label in where if label not in done.labels]
    for label, came_to in labs.run(iter([(label, attempt(label)) for label in left])):
        done.labels[label] = came_to
        done.save()
        if came_to != STRUCK:
            print(f"  {label} ({where[label]}): {came_to}", flush=True)
        _, missed, wrong = done.count(done.labels)
        progress.tell(len(done.labels), len(where), f"{missed} not reached, {wrong} wrong")


def every_pair(labs: Labs, done: Done, wanted: int, source: Iterator[tuple[str, str]]) -> None:
    """So many pairs of which both struck."""
    progress = Progress("pairs", done.count(done.pairs)[0])

    def attempt(first: str, second: str) -> Attempt:
        return lambda mine: mine.kill_twice(first, second)

    def left() -> Iterator[tuple[str, Attempt]]:
        asked = set(done.pairs)
        for first, second in source:
            if done.count(done.pairs)[0] >= wanted:
                return
            name = f"{first} then {second}"
            if name not in asked:
                asked.add(name)
                yield name, attempt(first, second)

    for name, came_to in labs.run(left()):
        done.pairs[name] = came_to
        done.save()
        if came_to not in (STRUCK, MISSED):
            print(f"  {name}: {came_to}", flush=True)
        struck, _, wrong = done.count(done.pairs)
        progress.tell(struck, wanted, f"{len(done.pairs)} tried, {wrong} wrong")


def what_lives_reach(labs: Labs, done: Done) -> dict[Life, list[str]]:
    """The labels of each life, found out once."""
    names = {life.__name__: life for life in LIVES}

    def attempt(life: Life) -> Attempt:
        def trace(mine: Lab) -> bool:
            done.reached[life.__name__] = mine.reached(life)
            return True

        return trace

    left = [(name, attempt(life)) for name, life in names.items() if name not in done.reached]
    for name, came_to in labs.run(iter(left)):
        print(f"life         {name}: {came_to}", flush=True)
        done.save()
    return {life: done.reached[name] for name, life in names.items() if name in done.reached}


def main() -> int:
    """Exit code 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1))
    parser.add_argument("--file", type=Path, default=Path(".cache/soak-crash.json"))
    options = parser.parse_args()
    done = Done(options.file, options.seed)
    print(f"seed         {done.seed}, {options.file}", flush=True)
    reached: dict[Life, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        found = [
            stack.enter_context(lab(Path(folder) / f"lab{number}", reached))
            for number in range(options.jobs)
        ]
        labs = Labs(found)
        reached.update(what_lives_reach(labs, done))
        every_label(labs, done)
        reached.setdefault(working_day, [])
        every_pair(labs, done, options.pairs, found[0].pairs(done.seed))
    struck, _, wrong = done.count(done.pairs)
    at_labels, missed, wrong_labels = done.count(done.labels)
    print(f"labels       {at_labels} killed at, {missed} not reached, {wrong_labels} wrong")
    print(f"pairs        {struck} where both struck ({len(done.pairs)} tried), {wrong} wrong")
    return int(bool(wrong or missed or wrong_labels))


if __name__ == "__main__":
    sys.exit(main())
