"""T7, the first half: resident memory idle, with many nodes, and after many messages."""

from __future__ import annotations

from collections.abc import Sequence

from bench.frame import Options, table
from bench.rig import Other, Ours, broker, load


def slope(values: Sequence[float]) -> float:
    """Least squares: how much is added from one value to the next."""
    mean_x, mean_y = (len(values) - 1) / 2, sum(values) / len(values)
    over = sum((x - mean_x) * (y - mean_y) for x, y in enumerate(values))
    return over / sum((x - mean_x) ** 2 for x in range(len(values)))


def run(options: Options) -> None:
    """Print it."""
    nodes, part, parts = options.many(5000, 100), options.many(100_000, 500), options.many(10, 4)
    with broker() as (running, folder), Ours(folder / "us", running.port) as us:
        with Other("echo", folder / "them", running.port) as them:
            paho = them.rss
        us.settle()
        idle = us.rss
        load(running.port, "hellos", nodes, 0, "bench")
        registered = us.rss
        grown: list[float] = []
        for _ in range(parts):
            load(running.port, "beats", part, nodes)
            us.settle()
            grown.append(us.rss)
        peak = us.peak
    later = grown[len(grown) // 2 :]
    per_message = slope(later) * 1024 * 1024 / part
    rows = [
        ["bare paho, one subscription", f"{paho:.0f}"],
        ["hellogate, idle", f"{idle:.0f}"],
        [f"with {nodes:,} nodes", f"{registered:.0f}"],
        [f"after {part * parts:,} beats of them", f"{grown[-1]:.0f}"],
        ["the most it ever was", f"{peak:.0f}"],
    ]
    notes = (
        f"Resident MB. In the second half of the beats it grew by {per_message:.1f} bytes for each "
        f"message (least squares over {len(later)} looks, {', '.join(f'{v:.1f}' for v in later)} MB)."
    )
    table("Memory", notes, ["when", "MB"], rows)
