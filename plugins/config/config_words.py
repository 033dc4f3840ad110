"""A good document, and any JSON at all: what tests of documents begin with."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

GOOD: dict[str, Any] = {
    "node_id": "nd-ph-1",
    "version": 3,
    "type": "ph",
    "gh_uid": "gh-1",
    "zone_uid": "zn-3",
    "node_secret": "5" * 64,
    "channels": [
        {"name": "ph_sensor", "type": "SENSOR", "metric": "PH", "poll_interval_ms": 3000},
        {"name": "fan_1", "type": "ACTUATOR", "actuator_type": "FAN", "relay_type": "NO"},
    ],
    "wifi": {"ssid": "X", "pass": "wifi-word", "auto_reconnect": True},
    "mqtt": {"host": "192.168.1.10", "port": 1883, "keepalive": 30, "password": "mqtt-word"},
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
