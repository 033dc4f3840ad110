"""The loss ledger: everything is killed at random, and what was promised is counted afterwards.

- `boards.py`   real nodes as processes that can be killed and come back
- `site.py`     a gateway, a broker, boards and talkers; any of them can be killed
- `script.py`   the faults of `make ledger`, one after the other
- `__main__.py` prints the table; `soak.py` kills ten thousand times
"""
