"""The pure parts alone, for years: the firmware's thinking, liveness, registry, twin, barrier, clocks.

Rules of this folder. No loop, no store, no thread: a heap of what is due. A desk is a gateway that holds
its registry in dictionaries and asks the real thinking files what to do; what they decide is carried
out at once. What really is, is known here, so every state can be compared with the truth.

- `heap.py`    what is due, in its order
- `record.py`  what the desk knows of one node
- `desk.py`    the desk's connection to the broker, and what comes in
- `watch.py`   liveness, and the truth that it is compared with
- `configs.py` registry and twin: hellos, reports, documents
- `fleet.py`   boards, broker, desk and weather: `Fleet(seed=7, nodes=200, interval=600).play(hours=24)`
"""

from __future__ import annotations

from tests.sim.fleet.fleet import Fleet, Tally
from tests.sim.fleet.watch import LAG

__all__ = ["LAG", "Fleet", "Tally"]
