"""States and types as tables: the table is the documentation. Nothing here looks at a message.

`may_become(LIFECYCLE, "ACTIVE", "MAINTENANCE")` asks whether a step is in a table. A state may
always become itself, because messages come twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


def _table(rows: Mapping[str, str]) -> Mapping[str, frozenset[str]]:
    """Freeze a table whose rows name their exits in one string."""
    return MappingProxyType({state: frozenset(exits.split()) for state, exits in rows.items()})


LIFECYCLE: Final = _table(
    {
        "MANUFACTURED": "UNPROVISIONED",
        "UNPROVISIONED": "PROVISIONED_WIFI",
        "PROVISIONED_WIFI": "REGISTERED_BACKEND UNPROVISIONED",
        "REGISTERED_BACKEND": "ASSIGNED_TO_ZONE DECOMMISSIONED",
        "ASSIGNED_TO_ZONE": "ACTIVE MAINTENANCE REGISTERED_BACKEND DECOMMISSIONED",
        "ACTIVE": "DEGRADED MAINTENANCE REGISTERED_BACKEND DECOMMISSIONED",
        "DEGRADED": "ACTIVE MAINTENANCE REGISTERED_BACKEND DECOMMISSIONED",
        "MAINTENANCE": "ACTIVE DEGRADED ASSIGNED_TO_ZONE REGISTERED_BACKEND DECOMMISSIONED",
        "DECOMMISSIONED": "",
    }
)
"""A node's way through its life (A5, column `lifecycle_state`).

    state               meaning                             may become
    MANUFACTURED        flashed                             UNPROVISIONED
    UNPROVISIONED       has no Wi-Fi yet                    PROVISIONED_WIFI
    PROVISIONED_WIFI    has Wi-Fi, not known to us          REGISTERED_BACKEND UNPROVISIONED
    REGISTERED_BACKEND  said hello                          ASSIGNED_TO_ZONE DECOMMISSIONED
    ASSIGNED_TO_ZONE    bound, its report came from there   ACTIVE MAINTENANCE
                                                            REGISTERED_BACKEND DECOMMISSIONED
    ACTIVE              works; set by hand only             DEGRADED MAINTENANCE
                                                            REGISTERED_BACKEND DECOMMISSIONED
    DEGRADED            works with problems                 ACTIVE MAINTENANCE
                                                            REGISTERED_BACKEND DECOMMISSIONED
    MAINTENANCE         being serviced                      ACTIVE DEGRADED ASSIGNED_TO_ZONE
                                                            REGISTERED_BACKEND DECOMMISSIONED
    DECOMMISSIONED      the end                             -

Online and offline are no lifecycle states: they are the column `status`.
"""

CONFIG_STATES: Final = _table(
    {
        "queued": "sent received applied verified rejected rolled_back expired superseded",
        "sent": "received applied verified rejected rolled_back expired superseded",
        "received": "applied verified rejected rolled_back expired superseded",
        "applied": "verified rejected rolled_back expired superseded",
        "verified": "superseded",
        "rejected": "",
        "rolled_back": "",
        "expired": "",
        "superseded": "",
    }
)
"""A revision's way from the operator to the node (B6).

    state        meaning                                       may become
    queued       accepted here, not on its way yet             sent, or any state below
    sent         published at least once                       received, or any state below
    received     the node has it                               applied, or any state below
    applied      the node runs on it, on trial (or a foreign   verified, or any state below
                 node reports it with differences)
    verified     the node proved that it works                 superseded
    rejected     the node refused it: final                    -
    rolled_back  the node tried it and went back: final        -
    expired      nobody answered in time: final                -
    superseded   a newer revision took its place: final        -

Steps may be skipped and are never taken back: a node's report may overtake our own note that we
sent the document, a foreign node reports only the end. A verified revision is superseded when a
newer one is verified, not when it is queued, because the newer one may yet be rolled back.
"""

CONFIG_FINALS: Final = frozenset(state for state, exits in CONFIG_STATES.items() if not exits)
"""States without an exit: a revision in one of them is not published again."""

NODE_TYPES: Final = (
    "ph",
    "ec",
    "climate",
    "irrig",
    "light",
    "relay",
    "water_sensor",
    "recirculation",
    "unknown",
)
"""What a node may be (A2). Anything else is `unknown`."""

TYPE_ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ph_node": "ph",
        "ec_node": "ec",
        "climate_node": "climate",
        "storage_irrigation_node": "irrig",
        "irrigation_node": "irrig",
        "irrig_node": "irrig",
        "irrigation": "irrig",
        "pump_node": "irrig",
        "pump": "irrig",
        "lighting_node": "light",
        "light_node": "light",
        "lighting": "light",
        "relay_node": "relay",
        "water_sensor_node": "water_sensor",
        "recirculation_node": "recirculation",
        "recirc": "recirculation",
        "clim": "climate",
        "water": "water_sensor",
    }
)
"""Names that firmware and simulators use for the types (A6.3), and the type that each means."""


def may_become(table: Mapping[str, frozenset[str]], a: str, b: str) -> bool:
    """Whether a thing in state `a` may go to state `b`; staying is allowed, unknown states not."""
    return a in table and (a == b or b in table[a])


def node_type(text: str | None) -> str:
    """Map what a node says about its type to one of `NODE_TYPES`; `unknown` where it fits none."""
    name = (text or "").strip().lower().replace("-", "_")
    name = TYPE_ALIASES.get(name, name)
    return name if name in NODE_TYPES else "unknown"
