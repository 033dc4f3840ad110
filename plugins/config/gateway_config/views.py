"""What the command line shows: rows of the store as cells, lines and plain data.

Rules of this file. Reads only; secrets hidden before anything leaves it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from gateway import DataError, GatewayError, Operator
from gateway_config import compare, document
from gateway_config.twin import LIVE

STATUS_HEAD = ("NODE", "DESIRED", "STATE", "SINCE", "REPORTED", "SENDS", "WHY")
HISTORY_HEAD = ("REVISION", "STATE", "QUEUED", "BY", "SHA256", "WHY")
DIFF_HEAD = ("PATH", "BEFORE", "AFTER")
REQUIRED = ("channels", "mqtt")
FILLED_IN = ("node_id", "version", "type", "gh_uid", "zone_uid")
"""What a push takes from the registry where the document leaves it out."""
_STEPS = ("sent", "received", "applied", "verified")
_STATUS = (
    "SELECT n.uid AS node, n.protocol, d.revision, d.sha256, d.state, d.sends, d.next_at, r.reason, "
    "r.path, r.differs, coalesce(r.final_at, r.verified_at, r.applied_at, r.received_at, r.sent_at, "
    "r.queued_at) AS since, p.revision AS reported_revision, p.sha256 AS reported_sha256, "
    "p.state AS reported_state, p.at AS reported_at, p.refused, p.refused_word FROM nodes n "
    "LEFT JOIN config_desired d ON d.node_id = n.id LEFT JOIN config_revisions r "
    "ON r.node_id = n.id AND r.revision = d.revision LEFT JOIN config_reported p ON p.node_id = n.id"
)
_HISTORY = (
    "SELECT revision, sha256, state, author, note, reason, path, differs, queued_at, sent_at, "
    "received_at, applied_at, verified_at, final_at FROM config_revisions WHERE node_id = ? "
    "ORDER BY revision DESC"
)


def shown(
    operator: Operator, name: str, *, reported: bool, revision: int | None
) -> tuple[str, dict[str, Any]]:
    """(the node's uid, a document with its secrets hidden)."""
    node = operator.node(name)
    if reported:
        found = _texts(operator, "config_reported WHERE node_id = ?", node["id"])
        what = "the node has not shown its config yet"
    elif revision is None:
        found = _texts(operator, "config_desired WHERE node_id = ?", node["id"])
        what = "no config was pushed to this node"
    else:
        where = "config_revisions WHERE node_id = ? AND revision = ?"
        found = _texts(operator, where, node["id"], revision)
        what = f"there is no v{revision} of this node's config"
    if found is None:
        raise DataError(what, hint=f"gateway config history {node['uid']}")
    return node["uid"], found


def _texts(operator: Operator, where: str, *params: object) -> dict[str, Any] | None:
    rows = operator.read(f"SELECT document FROM {where}", *params)
    if not rows or not rows[0]["document"]:
        return None
    return dict(compare.redacted(json.loads(rows[0]["document"])))


def status(operator: Operator, name: str | None) -> list[dict[str, Any]]:
    """How far each node is; one node where it is named."""
    if name is None:
        rows = operator.read(f"{_STATUS} ORDER BY n.uid")
    else:
        rows = operator.read(f"{_STATUS} WHERE n.id = ?", operator.node(name)["id"])
    return [_times({**row, "differs": json.loads(row["differs"] or "[]")}) for row in rows]


def status_cells(row: Mapping[str, Any]) -> tuple[object, ...]:
    """The line of the status table."""
    if row["revision"] is None:
        return row["node"], "-", "-", "-", _version(row["reported_revision"]), "-", ""
    return (
        row["node"],
        _version(row["revision"]),
        word(row),
        _clock(row["since"]),
        _version(row["reported_revision"]),
        row["sends"],
        why(row),
    )


def word(row: Mapping[str, Any]) -> str:
    """The state in a person's words."""
    if row["state"] == "applied":
        return "applied (differs)" if row["differs"] else "on trial"
    return str(row["state"]).replace("_", " ")


def why(row: Mapping[str, Any]) -> str:
    """Reason, path and what differs, in one text."""
    parts = [row["path"] or "", row["reason"] or "", ", ".join(row["differs"])]
    return ": ".join(part for part in parts if part)


def history(operator: Operator, name: str) -> tuple[str, list[dict[str, Any]]]:
    """(the node's uid, its revisions, newest first)."""
    node = operator.node(name)
    rows = operator.read(_HISTORY, node["id"])
    return node["uid"], [_times({**row, "differs": json.loads(row["differs"])}) for row in rows]


def history_cells(row: Mapping[str, Any]) -> tuple[object, ...]:
    """The line of the history table."""
    version, queued = _version(row["revision"]), _clock(row["queued_at"], day=True)
    return version, word(row), queued, row["author"] or "-", row["sha256"][:8], why(row)


def changes(
    operator: Operator, name: str, before: int | None, after: int | None
) -> tuple[str, list[compare.Change]]:
    """What differs between two revisions, or between what is reported and what is desired."""
    if before is None:
        uid, old = shown(operator, name, reported=True, revision=None)
        _, new = shown(operator, name, reported=False, revision=None)
        compare.without_own_affairs(old, new)
    else:
        uid, old = shown(operator, name, reported=False, revision=before)
        _, new = shown(operator, name, reported=False, revision=after)
    # history is kept without the node's secret, and a node hides its own
    for side in (old, new):
        side.pop("node_secret", None)
    return uid, compare.diff(old, new)


def diff_cells(change: compare.Change) -> tuple[str, str, str]:
    """The line of the diff table."""
    return change.path, _value(change.before), _value(change.after)


def _value(value: Any) -> str:
    return "-" if value is None else json.dumps(value, ensure_ascii=False)


def follow(
    operator: Operator,
    node: Mapping[str, Any],
    revision: int,
    deadline: float,
    late: type[GatewayError],
) -> None:
    """Watch one revision until it ends, and tell its way in one line."""
    where = "SELECT * FROM config_revisions WHERE node_id = ? AND revision = ?"
    row: dict[str, Any] = {}
    while True:
        found = operator.read(where, node["id"], revision)
        row = found[0] if found else row
        if row and row["state"] not in LIVE:
            break
        if time.monotonic() >= deadline:
            break
        time.sleep(0.1)
    if row:
        click.echo(way(row))
    state = row.get("state", "queued")
    if state == "verified":
        return
    hint = f"gateway config status {node['uid']}"
    if state in LIVE:
        raise late(f"v{revision} is not verified yet", why=f"it is {state}", hint=hint)
    reason = ": ".join(part for part in (row["path"], row["reason"]) if part)
    raise GatewayError(f"v{revision} was {state.replace('_', ' ')}", why=reason, hint=hint)


def way(row: Mapping[str, Any]) -> str:
    """`v4  queued 12:40:01 · sent +0.02 s · received +0.11 s · ...`."""
    start = row["queued_at"]
    parts = [f"queued {_clock(start)}"]
    times = [(step, row[f"{step}_at"]) for step in _STEPS]
    if row["final_at"] is not None:
        times.append((row["state"].replace("_", " "), row["final_at"]))
    parts += [f"{step} {_after(at - start)}" for step, at in times if at is not None]
    return f"v{row['revision']}  " + " · ".join(parts)


def _after(seconds: float) -> str:
    return f"+{seconds:.2f} s" if seconds < 1 else f"+{seconds:.1f} s"


def _version(revision: int | None) -> str:
    return f"v{revision}" if revision else "-"


def _clock(at: float | str | None, *, day: bool = False) -> str:
    if at is None:
        return "-"
    moment = datetime.fromisoformat(at) if isinstance(at, str) else datetime.fromtimestamp(at, UTC)
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S" if day else "%H:%M:%S")


def _times(row: dict[str, Any]) -> dict[str, Any]:
    """Times for machines: RFC 3339, UTC."""
    for key, value in row.items():
        if (key.endswith("_at") or key == "since") and value is not None:
            moment = datetime.fromtimestamp(value, UTC)
            row[key] = moment.isoformat(timespec="milliseconds")
    return row


_SYSTEM = {"name": "system", "type": "ACTUATOR", "actuator_type": "SYSTEM"}


def _sensor(name: str, metric: str, unit: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "SENSOR",
        "metric": metric,
        "unit": unit,
        "poll_interval_ms": 3000,
    }


def _switch(name: str, actuator: str) -> dict[str, Any]:
    return {"name": name, "type": "ACTUATOR", "actuator_type": actuator, "relay_type": "NO"}


def _pump(name: str) -> dict[str, Any]:
    limits = {"max_duration_ms": 60000, "min_off_ms": 5000, "fail_safe_mode": "NO"}
    return {
        "name": name,
        "type": "ACTUATOR",
        "actuator_type": "PERISTALTIC_PUMP",
        "ml_per_second": 1.5,
        "safe_limits": limits,
    }


EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "ph": [_sensor("ph_sensor", "PH", "pH"), _pump("pump_acid"), _pump("pump_base")],
    "ec": [_sensor("ec_sensor", "EC", "mS/cm"), _pump("pump_a"), _pump("pump_b")],
    "climate": [
        _sensor("air_temp", "TEMPERATURE", "C"),
        _sensor("air_rh", "HUMIDITY", "%"),
        _switch("fan_1", "FAN"),
    ],
    "irrig": [_sensor("level", "WATER_LEVEL", "%"), _switch("valve_1", "VALVE")],
    "light": [_sensor("light_level", "LIGHT_INTENSITY", "lx"), _switch("lamp", "RELAY")],
    "relay": [_switch("relay_1", "RELAY"), _switch("relay_2", "RELAY")],
    "water_sensor": [_sensor("soil_moisture", "SOIL_MOISTURE", "%")],
    "recirculation": [_sensor("flow", "FLOW_RATE", "l/min"), _switch("valve_1", "VALVE")],
    "unknown": [],
}


def example(kind: str) -> dict[str, Any]:
    """A document that passes, to start from."""
    if kind not in EXAMPLES:
        raise DataError(
            f"{kind!r} is no type of node",
            why="one of " + " ".join(EXAMPLES),
            hint="gateway config schema --type ph",
        )
    return {**document.skeleton(f"nd-{kind}-1", kind), "channels": [*EXAMPLES[kind], _SYSTEM]}


def template(kind: str) -> dict[str, Any]:
    """The same for a file that may be pushed to any node of the type."""
    return {key: value for key, value in example(kind).items() if key not in FILLED_IN}


def choices() -> dict[str, list[str]]:
    """The words that may stand where only some words may."""
    return {"metrics": list(document.METRICS), "actuator_types": list(document.ACTUATORS)}


def rules() -> list[str]:
    """What may stand in a document, for a person."""
    return [
        "required: " + " ".join(REQUIRED),
        "filled in for the node that it is pushed to: " + " ".join(FILLED_IN),
        'wifi and mqtt: {"configured": true} keeps what the node has',
        "metric: " + " ".join(document.METRICS),
        "actuator_type: " + " ".join(document.ACTUATORS),
        "relay_type NC or NO: needed for " + " ".join(document.RELAYS),
        "node_secret: leave it out, the gateway puts it in",
    ]
