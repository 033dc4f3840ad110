"""What `intake` and `beats` share: a backlog in a persistent session, drained by each candidate."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench.frame import Options, in_turn, middle, spread, table
from bench.rig import broker, load, run

Drained = dict[str, float]
SESSIONS = ("c", "paho", "beats", "ours-control", "ours-bulk")


class Backlog:
    """`kind` of the load, its filter, and how much of it."""

    def __init__(self, kind: str, pattern: str, count: int) -> None:
        self.kind, self.pattern, self.count = kind, pattern, count

    def candidate(self, name: str, port: int, folder: Path, part: int = 1) -> Callable[[], Drained]:
        """Make a candidate's session, fill it, let it drain; `part`: so many times fewer messages."""
        count = self.count // part

        def go() -> Drained:
            self._forget(port)
            (folder / "state").mkdir()
            self._drain(name, port, folder, 0)
            idle = load(port, self.kind, count, 500)["idle"]
            found = {**self._drain(name, port, folder, count), "count": count, "idle": idle}
            shutil.rmtree(folder / "state")
            return found

        return go

    def _drain(self, name: str, port: int, folder: Path, count: int) -> Drained:
        if name == "c":
            return self._c_client(port, count)
        return run(
            "bench.candidates", name, str(port), str(count), str(folder / "state"), self.pattern
        )

    def _c_client(self, port: int, count: int) -> Drained:
        """mosquitto_sub, to /dev/null."""
        words = ["mosquitto_sub", "-p", str(port), "-i", "bench-c", "-c", "-q", "1"]
        words += ["-t", self.pattern, *(["-C", str(count)] if count else ["-E"])]
        began = time.monotonic()
        subprocess.run(words, stdout=subprocess.DEVNULL, check=True, timeout=120)
        return {"seconds": time.monotonic() - began}

    @staticmethod
    def _forget(port: int) -> None:
        """Clear the sessions of all, so that nobody's queue is filled beside."""
        for name in SESSIONS:
            words = ["mosquitto_sub", "-p", str(port), "-i", f"bench-{name}", "-t", "none", "-E"]
            subprocess.run(words, check=True, timeout=10)


def measure(
    options: Options, title: str, notes: str, backlog: Backlog, names: dict[str, tuple[str, int]]
) -> None:
    """Print a table; `names` has the candidate and the part of the backlog that it gets."""
    with broker() as (running, folder):
        found = in_turn(
            options,
            {
                shown: backlog.candidate(name, running.port, folder, part)
                for shown, (name, part) in names.items()
            },
        )
    base = 0.0
    rows = []
    for shown, each in found.items():
        rates = [one["count"] / one["seconds"] for one in each]
        base = base or middle(rates)
        cpu = middle([one.get("cpu", 0.0) / one["count"] * 1e6 for one in each])
        rss = max(one.get("rss_mb", 0.0) for one in each)
        numbers = [f"{cpu:.0f}" if cpu else "-", f"{rss:.0f}" if rss else "-"]
        rows.append([shown, spread(rates), f"{middle(rates) / base:.2f}", *numbers])
    idle = middle([one["idle"] for each in found.values() for one in each])
    notes = f"{notes} The load was idle for {idle:.0%} of its time, and had ended before the drain."
    head = ["candidate", "msg/s median (least-most)", "ratio to C", "CPU µs/msg", "RSS MB"]
    table(title, notes, head, rows)
