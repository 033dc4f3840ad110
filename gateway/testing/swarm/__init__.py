"""Light nodes: thousands of them in one process, each with the pure `node.py` that boards run.

`python -m gateway.testing.swarm` is started by `gateway simulate`; the device's files are on its
PYTHONPATH. `light.py` is a node, `line.py` its MQTT, `scenario.py` what happens to the fleet.
"""
