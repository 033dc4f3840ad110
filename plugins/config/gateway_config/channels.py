"""A node's channels, taken over from what it reports (PROTOCOL A6.3). Upsert by name; what a report
does not mention stays, unless the report says that it is the whole list."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gateway import Tx

# the backend's own, never taken from a node
_NOT_THE_NODES = frozenset(
    {"pump_calibration", "flow_calibration", "pid", "pid_config", "pid_state", "name"}
)
_WHOLE_LIST = ("channels_replace", "channels_full_snapshot", "full_snapshot")
_AT_ONCE = 64
_AT_MOST = 256

_UPSERT = """
INSERT INTO config_channels (node_id, name, type, metric, unit, config, active, seen_at)
SELECT ?, ?, ?, ?, ?, ?, 1, ?
WHERE (SELECT count(*) FROM config_channels WHERE node_id = ?) < ?
   OR EXISTS (SELECT 1 FROM config_channels WHERE node_id = ? AND name = ?)
ON CONFLICT (node_id, name) DO UPDATE SET
    type = excluded.type, metric = excluded.metric, unit = excluded.unit,
    config = excluded.config, active = 1, seen_at = excluded.seen_at
"""
_SEEN = """
INSERT INTO config_channels (node_id, name, seen_at)
SELECT ?, ?, ? WHERE (SELECT count(*) FROM config_channels WHERE node_id = ?) < ?
ON CONFLICT (node_id, name) DO UPDATE SET active = 1, seen_at = excluded.seen_at
"""


class Channel(NamedTuple):
    """One channel as reported; `config` is None where only its name was."""

    name: str
    type: str
    metric: str
    unit: str
    config: str | None


def reported(document: Mapping[str, Any]) -> list[Channel]:
    """The channels in a (redacted) report; entries without a usable name are passed over."""
    entries = document.get("channels")
    found = {c.name: c for c in _each(entries if isinstance(entries, list) else [])}
    return list(found.values())[:_AT_ONCE]


def _each(entries: list[Any]) -> Iterator[Channel]:
    for entry in entries:
        name = entry if isinstance(entry, str) else None
        if isinstance(entry, Mapping):
            name = entry.get("name")
        if not isinstance(name, str) or not 0 < len(name) <= 255 or not name.isprintable():
            continue
        if isinstance(entry, str):
            yield Channel(name, "", "", "", None)
            continue
        rest = {k: v for k, v in entry.items() if k not in _NOT_THE_NODES}
        metric = _word(entry.get("metric")) or _word(entry.get("actuator_type"))
        text = json.dumps(rest, ensure_ascii=False, separators=(",", ":"))
        yield Channel(name, _word(entry.get("type")), metric, _word(entry.get("unit")), text)


def _word(value: Any) -> str:
    return value[:64] if isinstance(value, str) else ""


def upsert(tx: Tx, node_id: int, document: Mapping[str, Any], at: float) -> None:
    """Take the channels of this report over. An empty list means nothing (A6.3)."""
    found = reported(document)
    if not found:
        return
    if any(document.get(key) is True for key in _WHOLE_LIST):
        tx.write("UPDATE config_channels SET active = 0 WHERE node_id = ?", node_id)
    for name, kind, metric, unit, config in found:
        if config is None:
            tx.write(_SEEN, node_id, name, at, node_id, _AT_MOST)
        else:
            row = (node_id, name, kind, metric, unit, config, at)
            tx.write(_UPSERT, *row, node_id, _AT_MOST, node_id, name)
