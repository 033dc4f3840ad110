"""The gateway dies at a labelled step of its own way, and again in the recovery: nothing may be lost.

- `labels.py`   every label there is, read from the code
- `forks.py`    gateways without the second that Python needs to start
- `world.py`    a gateway that is started again whenever it dies, a broker, a real node, talkers
- `lives.py`    what happens in a life; between them they reach every label
- `verdict.py`  what must be true in the end
- `soak.py`     every label, then pairs of them, for as long as you like: `make soak-crash`
"""
