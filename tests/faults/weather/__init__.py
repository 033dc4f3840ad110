"""A fleet of real MicroPython nodes behind a network that is spoiled by a script.

- `acts.py`    what can happen to a network
- `script.py`  a fleet, a gateway and a broker, six acts in turn, and how all of them come out of it
- `soak.py`    forty scripts with three hundred nodes each: `make soak-nodes`
"""
