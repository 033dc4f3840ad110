"""T8: what goes to the disk for each message, when it is busy and when it is not."""

from __future__ import annotations

from collections.abc import Callable

from bench.candidates import BEATS
from bench.frame import Options, table
from bench.rig import Other, Ours, Process, broker, load

NODES = 50
INTERVAL = 15
A_DAY = 86_400 // INTERVAL * NODES


def run(options: Options) -> None:
    """Print it."""
    calm, slow, fast = options.many(100, 5), options.many(1_000, 50), options.many(50_000, 500)
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
                rates = ((calm, NODES / INTERVAL), (slow, 50), (count, 1e9))
                found = [
                    of_a_boot(them, port, boot, number, rate)
                    for boot, (number, rate) in enumerate(rates, 11)
                ]
            day = found[0] * A_DAY / 1e9
            rows.append([name, *(f"{each:,.0f}" for each in found), f"{day:.1f}"])
    notes = (
        f"Bytes sent to the disk for each beat of {NODES} nodes (`write_bytes` of the process, "
        f"checkpoints included): {calm:,} beats at the pace of a beat each {INTERVAL} s of a node, "
        f"{slow:,} at 50/s, then as fast as they come; each time of nodes that have beaten before in this boot. And "
        "what the first makes of a day."
    )
    head = ["candidate", "bytes/beat, their pace", "bytes/beat, 50/s", "bytes/beat, flat out"]
    table("Disk", notes, [*head, "GB/day"], rows)


def of_a_boot(them: Process, port: int, boot: int, count: int, rate: float) -> float:
    """Bytes for each of `count` beats of nodes that have beaten once in this boot: the first beat is news,
    and is written at once."""
    written(them, port, NODES, "paced", NODES, 1e9, "beats", NODES, boot)
    return written(them, port, count, "paced", count, rate, "beats", NODES, boot, 2)


def written(them: Process, port: int, count: int, *words: object) -> float:
    """Bytes for each of `count` messages of a load."""
    before = them.written
    load(port, *words)
    them.settle()
    return (them.written - before) / count
