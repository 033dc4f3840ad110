"""Simulated fleets: thousands of light nodes in this process, or real ones, a process for each.

`python -m gateway.testing.swarm` is started by `gateway simulate`; the device's files are on its
PYTHONPATH. `light.py` is a light node, `line.py` its MQTT, `lights.py` a fleet of them; `real.py` is a
real node and a fleet of them; `scenario.py` is what happens to either, `pace.py` how fast they start.
"""
