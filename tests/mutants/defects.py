"""Seeded defects in the way of a message and of a config, each with the test that must notice it.

They are the mistakes that this kind of software really makes (acknowledge early, forget a retry,
take a number without its boot). `python tests/mutants` runs them; `test_defects.py` keeps the list
from rotting. One file for each part: `of_gateway.py`, `of_plugins.py`, `of_device.py`; `of_machines.py`
has those that the state machines of Hypothesis find.
"""

from __future__ import annotations

from of_device import DEVICE
from of_gateway import GATEWAY
from of_machines import MACHINES
from of_plugins import PLUGINS

DEFECTS = (*GATEWAY, *PLUGINS, *DEVICE, *MACHINES)
