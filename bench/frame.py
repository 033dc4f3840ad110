"""What every table has in common: how often, in which order, and how figures are printed.

Rules of this file. Candidates take turns and each round begins with another one (A B C, B C A, ...),
so that what the machine does beside us falls on all of them. Figures are medians with the least and
the most of their rounds; a ratio is one of medians within this run.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """How often and how much; `quick` is a smoke run whose figures mean nothing."""

    rounds: int = 5
    quick: bool = False

    def many(self, full: int, quick: int) -> int:
        """This many, or that many in a smoke run."""
        return quick if self.quick else full

    def fewer(self, most: int) -> Options:
        """For what takes long: so many rounds at the most."""
        return Options(min(self.rounds, most), self.quick)


def in_turn(options: Options, candidates: dict[str, Callable[[], T]]) -> dict[str, list[T]]:
    """What each candidate gave in each round."""
    names = list(candidates)
    found: dict[str, list[T]] = {name: [] for name in names}
    for number in range(options.rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(candidates[name]())
    return found


def spread(values: Sequence[float], digits: int = 0) -> str:
    """`median (least-most)`."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):,.{digits}f} ({low:,.{digits}f}-{high:,.{digits}f})"


def middle(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def share(values: Sequence[float], part: float) -> float:
    """The value below which this part of them lies: 0.99 for p99."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


def table(title: str, notes: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table under a heading."""
    print(f"\n## {title}\n\n{notes}\n")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


def conditions() -> str:
    """Date, machine and versions."""
    versions = ", ".join(f"{n} {metadata.version(n)}" for n in ("paho-mqtt", "msgspec", "pluggy"))
    return (
        f"{time.strftime('%Y-%m-%d')}, {platform.platform()}, {os.cpu_count()} cores, load before it "
        f"{os.getloadavg()[0]:.2f}, Python {platform.python_version()}, {versions}, {_mosquitto()}, "
        f"{os.uname().machine}"
    )


def _mosquitto() -> str:
    binary = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin") or "mosquitto"
    done = subprocess.run([binary, "-h"], capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0].strip()
