"""The plugin author's door: everything that a plugin needs, and nothing else.

Names are imported when they are first used, so that `gateway --help` does not pay for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.api import (
        Answer,
        Check,
        Host,
        Job,
        Manifest,
        Node,
        NodeChange,
        Operator,
        Problem,
        Turn,
        Tx,
    )
    from gateway.app import Gateway
    from gateway.errors import DataError, GatewayError
    from gateway.hookspecs import hookimpl
    from gateway.protocol.codec import encode
    from gateway.protocol.messages import (
        ChannelEvent,
        Command,
        CommandResponse,
        ConfigReported,
        Diagnostics,
        Event,
        LastWill,
        Message,
        NodeError,
        NodeHeartbeat,
        NodeHello,
        Status,
        Telemetry,
        TimeRequest,
        Wake,
    )
    from gateway.protocol.signing import sign, signed
    from gateway.protocol.states import CONFIG_STATES, LIFECYCLE, may_become, node_type
    from gateway.protocol.topics import Topics, is_temp, is_uid
    from gateway.settings.load import load as load_settings

__version__ = "0.1.0"

_ROOMS = {
    "gateway.api": (
        "Answer", "Check", "Host", "Job", "Manifest", "Node", "NodeChange", "Operator", "Problem",
        "Turn", "Tx",
    ),
    "gateway.app": ("Gateway",),
    "gateway.errors": ("DataError", "GatewayError"),
    "gateway.hookspecs": ("hookimpl",),
    "gateway.protocol.codec": ("encode",),
    "gateway.protocol.messages": (
        "ChannelEvent",
        "Command",
        "CommandResponse",
        "ConfigReported",
        "Diagnostics",
        "Event",
        "LastWill",
        "Message",
        "NodeError",
        "NodeHeartbeat",
        "NodeHello",
        "Status",
        "Telemetry",
        "TimeRequest",
        "Wake",
    ),
    "gateway.protocol.signing": ("sign", "signed"),
    "gateway.protocol.states": ("CONFIG_STATES", "LIFECYCLE", "may_become", "node_type"),
    "gateway.protocol.topics": ("Topics", "is_temp", "is_uid"),
    "gateway.settings.load": ("load_settings",),
}  # fmt: skip
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "CONFIG_STATES",
    "LIFECYCLE",
    "Answer",
    "ChannelEvent",
    "Check",
    "Command",
    "CommandResponse",
    "ConfigReported",
    "DataError",
    "Diagnostics",
    "Event",
    "Gateway",
    "GatewayError",
    "Host",
    "Job",
    "LastWill",
    "Manifest",
    "Message",
    "Node",
    "NodeChange",
    "NodeError",
    "NodeHeartbeat",
    "NodeHello",
    "Operator",
    "Problem",
    "Status",
    "Telemetry",
    "TimeRequest",
    "Topics",
    "Turn",
    "Tx",
    "Wake",
    "encode",
    "hookimpl",
    "is_temp",
    "is_uid",
    "load_settings",
    "may_become",
    "node_type",
    "sign",
    "signed",
]


def __getattr__(name: str) -> object:
    room = _HOME.get(name)
    if room is None:
        raise AttributeError(f"module 'gateway' has no attribute {name!r}")
    attribute = "load" if name == "load_settings" else name
    value = getattr(import_module(room), attribute)
    globals()[name] = value
    return value
