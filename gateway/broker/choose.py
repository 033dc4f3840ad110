"""Which broker (DESIGN §7): the configured one, one that answers on this machine, or our own.

With `mode = "auto"` and no host configured the decision is made once and remembered, so that a
broker which is slow to start one day does not split the fleet.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Literal, NamedTuple

from gateway.settings.model import Settings

Mode = Literal["auto", "embedded", "external"]
MEMORY = "broker.mode"
PORT_FILE = "port"
"""In the embedded broker's folder: written when it answers for the first time."""
_LOCAL = "127.0.0.1"
_CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x05\x00\x00"


class Target(NamedTuple):
    """Where the gateway connects; `embedded` where it must start that broker first."""

    host: str
    port: int
    embedded: bool


def decide(
    mode: Mode, host: str, *, remembered: str | None, answers: bool
) -> Literal["embedded", "external"]:
    """The rule, pure. `answers`: something speaks MQTT on this machine's port 1883."""
    if mode != "auto":
        return mode
    if host:
        return "external"
    if remembered in ("embedded", "external"):
        return "embedded" if remembered == "embedded" else "external"
    return "external" if answers else "embedded"


def choose(settings: Settings, folder: Path) -> Target:
    """Decide, and remember a decision that was made by looking."""
    mqtt, mode = settings.mqtt, settings.broker.mode
    memory = folder / MEMORY
    remembered = memory.read_text(errors="replace").strip() if memory.exists() else None
    if remembered not in ("embedded", "external"):
        remembered = None  # nobody of us wrote that: look again
    if remembered == "embedded" and not (folder / "broker" / PORT_FILE).exists():
        remembered = None  # it never ran (no wheel, perhaps): there is no fleet to split
    look = mode == "auto" and not mqtt.host and remembered is None
    answers = look and speaks_mqtt(_LOCAL, mqtt.port)
    found = decide(mode, mqtt.host, remembered=remembered, answers=answers)
    if look:
        memory.write_text(found + "\n")
    if found == "embedded":
        return Target(_LOCAL, settings.broker.port, True)
    return Target(mqtt.host or _LOCAL, mqtt.port, False)


def speaks_mqtt(host: str, port: int, timeout: float = 1.0) -> bool:
    """True where a CONNECT is answered by a CONNACK, a refusing one included."""
    try:
        with socket.create_connection((host, port), timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(_CONNECT)
            return connection.recv(1) == b"\x20"
    except OSError:
        return False
