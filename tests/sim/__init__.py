"""A fleet, its broker and its gateway in one process, on a clock that is ours; every run has a seed.

- `clock.py`   an event loop whose time passes only when nobody has anything to do
- `network.py` a broker and its connections: slow, cut, restarted, forgetful
- `board.py`   the real firmware's thinking (`device/gwnode/node.py`) on a board that loses power
- `machine.py` the real engine with its real plugins and its real SQLite, without a single thread
- `ledger.py`  what everybody was told, and what must hold of it at every moment and in the end
- `weather.py` which fault comes when
- `world.py`   all of it together: `play(Plan(seed=7))`
- `fleet/`     the pure parts alone, for years: nodes, liveness, registry, twin
- `soak.py`    both for as long as you like: `make soak-sim`

A run that fails prints its seed and the last things that happened; `seeds.txt` keeps the seeds of
failures, and the tests play these for ever.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / "device")]
