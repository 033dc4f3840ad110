"""What types cannot say: values that do not fit each other or the world.

Pure. A rule here is a mistake that somebody would otherwise meet later and understand less.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from gateway.settings.model import Mqtt, Settings

Key = tuple[str, ...]
_AT_LEAST_ONE = (
    ("limits", "payload"),
    ("limits", "json_depth"),
    ("limits", "window"),
    ("limits", "lane_window"),
    ("handlers", "attempts"),
    ("handlers", "breaker_failures"),
    ("backup", "keep"),
)
_MOST_SECONDS = 65_535  # keepalive has 16 bits on the wire


class Broken(NamedTuple):
    """A rule that is not kept, by the key to blame."""

    key: Key
    message: str
    suggestion: str = ""


def broken(settings: Settings) -> Iterator[Broken]:
    """Every rule that these settings do not keep."""
    yield from _mqtt(settings.mqtt)
    if settings.security.registration == "claim" and not settings.security.claim_key:
        yield Broken(
            ("security", "registration"),
            '"claim" needs the key that was written on the boards',
            'claim_key = { file = "/etc/gateway/claim-key" }',
        )
    if settings.store.url:  # never shown: a password may be in it
        yield Broken(
            ("store", "url"),
            "other stores than SQLite in state_dir are not built yet",
            'leave it empty: url = ""',
        )
    for table, name in _AT_LEAST_ONE:
        if getattr(getattr(settings, table), name) < 1:
            yield Broken((table, name), "must be at least 1")


def _mqtt(mqtt: Mqtt) -> Iterator[Broken]:
    if found := re.fullmatch(r"(?:\w+://)?([^:/\s]+)(?::(\d+))?/?", mqtt.host):
        host, port = found.groups()
        if host != mqtt.host:
            more = f", port = {port}" if port else ""
            yield Broken(("mqtt", "host"), "a name or an address alone", f'host = "{host}"{more}')
    elif re.search(r"[\s/]", mqtt.host):
        yield Broken(("mqtt", "host"), "not a name or an address")
    levels = mqtt.root.split("/")
    if not all(levels) or re.search(r"[+#\x00]", mqtt.root) or mqtt.root.startswith("$"):
        yield Broken(("mqtt", "root"), "not the beginning of a topic", 'for example "hydro"')
    if not 1 <= mqtt.keepalive <= _MOST_SECONDS:
        yield Broken(("mqtt", "keepalive"), f"must be 1 to {_MOST_SECONDS} seconds")
    for one, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if getattr(mqtt, one) and not getattr(mqtt, other):
            yield Broken(("mqtt", one), f"needs {other} beside it")
