"""T8: what goes to the disk for each message, when it is busy and when it is not."""

from __future__ import annotations

from collections.abc import Callable

from bench.candidates import BEATS
from bench.frame import Options, table
from bench.rig import Other, Ours, Process, broker, load

NODES = 50
A_DAY = 86_400 // 15 * NODES


def run(options: Options) -> None:
    """Print it."""
    slow, fast = options.many(1_000, 50), options.many(50_000, 500)
    rows = []
    with broker() as (running, folder):
        port = running.port
        candidates: dict[str, tuple[Callable[[], Process], int]] = {
            "one insert and commit each": (
                lambda: Other("beats", folder / "them", port, BEATS),
                slow,
            ),
            "hellogate": (lambda: Ours(folder / "us", port), fast),
        }
        for name, (make, count) in candidates.items():
            with make() as them:
                written(them, port, NODES, "beats", NODES, NODES)  # now they are known
                paced = written(them, port, slow, "paced", slow, 50, "beats", NODES, 11)
                flat = written(them, port, count, "paced", count, 1e9, "beats", NODES, 12)
            day = paced * A_DAY / 1e9
            rows.append([name, f"{paced:,.0f}", f"{flat:,.0f}", f"{day:.1f}"])
    notes = (
        f"Bytes sent to the disk for each beat of {NODES} nodes (`write_bytes` of the process, "
        f"checkpoints included): {slow:,} beats at 50/s, then as fast as they come; and what the "
        "first makes of a day of them at a beat each 15 s."
    )
    table("Disk", notes, ["candidate", "bytes/beat, 50/s", "bytes/beat, flat out", "GB/day"], rows)


def written(them: Process, port: int, count: int, *words: object) -> float:
    """Bytes for each of `count` messages of a load."""
    before = them.written
    load(port, *words)
    them.settle()
    return (them.written - before) / count
