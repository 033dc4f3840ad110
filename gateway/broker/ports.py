"""Which port of the loopback the embedded broker has: the nodes of the last run know it."""

from __future__ import annotations

import socket
from pathlib import Path

from gateway.broker.choose import PORT_FILE


def choose_port(folder: Path, wanted: int) -> int:
    """The port of the last run, else the configured one, else a free one."""
    for port in (last_port(folder), wanted):
        if 0 < port < 65536 and is_free(port):
            return port
    return free_port()


def last_port(folder: Path) -> int:
    """The port of the last run; 0 where there was none."""
    file = folder / PORT_FILE
    last = file.read_text().strip() if file.exists() else ""
    return int(last) if last.isdigit() and int(last) < 65536 else 0


def is_free(port: int) -> bool:
    """True where it can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def somebody_listens(port: int) -> bool:
    """True where a connection is taken there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port of the loopback that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
