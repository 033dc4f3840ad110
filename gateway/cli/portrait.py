"""The lines of `gateway nodes show`: who a node is, how it lives, what it runs, what happened last.

Rules of this file. Pure: rows of the store and the time come in, lines go out.
"""

from __future__ import annotations

from typing import Any

from gateway.cli import output

_REMEMBERED = 3  # things in the line `last` of `nodes show`
_KIND_NAMES = {
    "ph": "pH node", "ec": "EC node", "climate": "climate node", "irrig": "irrigation node",
    "light": "light node", "relay": "relay node", "water_sensor": "water sensor",
    "recirculation": "recirculation node",
}  # fmt: skip


def name_of(row: dict[str, Any]) -> str:
    """The name that a person uses for the node."""
    return str(row["uid"] or row["hardware_id"] or f"#{row['id']}")


def portrait(
    row: dict[str, Any],
    configs: list[dict[str, Any]],
    channels: list[dict[str, Any]],
    now: float,
) -> list[str]:
    """The lines of `nodes show`."""
    place = f" in {row['gh']} / {row['zone']}" if row["gh"] and row["zone"] else ", not bound"
    kind = _KIND_NAMES.get(row["type"], f"node of type {row['type']}")
    parts = {
        "hardware": _hardware(row),
        "life": _life(row, now),
        "state": output.clean(row["lifecycle_state"]) + _pending(row),
        "config": _configs(configs, now),
        "last": " · ".join(_last(row, configs, now)),
        "channels": ", ".join(_channel(c) for c in channels) or "not reported yet",
    }
    if row["name"]:
        parts = {"name": output.clean(row["name"]), **parts}
    lines = [f"{output.clean(name_of(row))}   {kind}{output.clean(place)}"]
    return lines + [f"  {label:<10} {text}" for label, text in parts.items()]


def _hardware(row: dict[str, Any]) -> str:
    facts = [output.clean(row["hardware_id"] or "hardware id not known yet")]
    if row["fw_version"]:
        facts.append(f"firmware {output.clean(row['fw_version'])}")
    if row.get("hardware_revision"):
        facts.append(f"revision {output.clean(row['hardware_revision'])}")
    if row["free_heap"] is not None:
        lowest = row["min_free_heap"]
        facts.append(
            f"heap {output.size(row['free_heap'])}"
            + (f" (lowest {output.size(lowest)})" if lowest is not None else "")
        )
    if row["rssi"] is not None:
        facts.append(f"RSSI {row['rssi']} dBm")
    return " · ".join(facts)


def _life(row: dict[str, Any], now: float) -> str:
    text, since, seen = (
        str(row["life"]).replace("_", " "),
        row["life_since_at"],
        row["last_seen_at"],
    )
    if since is not None:
        text += f" since {output.clock(since, now)} ({output.span(max(0.0, now - since))})"
    if seen is not None and (since is None or row["life"] != "online"):
        text += f", last seen {output.span(max(0.0, now - seen))} ago"
    if row["boot_id"]:
        text += f", boot {output.clean(row['boot_id'])}"
    if row["interval_seconds"]:
        text += f", beats every {row['interval_seconds']:g} s"
    if row["beats"]:
        text += f", {row['missed'] or 0} missed of {row['beats']}"
    return text


def _pending(row: dict[str, Any]) -> str:
    if not row["pending_zone"]:
        return ""
    return output.clean(f", on the way to {row['pending_gh']} / {row['pending_zone']}")


def _configs(configs: list[dict[str, Any]], now: float) -> str:
    """The newest config with its hash, and the one before it."""
    if not configs:
        return "none pushed"
    newest, *older = configs
    told = [f"{_state_of(newest)} {output.clock(_at(newest), now)} (sha256 {newest['sha256'][:8]})"]
    told += [f"{_state_of(config)} {output.clock(_at(config), now)}" for config in older[:1]]
    reasons = [f": {output.clean(c['reason'])}" if c["reason"] else "" for c in configs]
    return ", ".join(text + reason for text, reason in zip(told, reasons, strict=False))


def _last(row: dict[str, Any], configs: list[dict[str, Any]], now: float) -> list[str]:
    """What happened to the node, newest first: a few of the things that the store dates."""
    found = [(_at(config), f"config {_state_of(config)}") for config in configs]
    found.append((row["created_at"], "first seen"))
    if row["life_since_at"] is not None:
        found.append((row["life_since_at"], str(row["life"]).replace("_", " ")))
    found.sort(key=lambda thing: thing[0], reverse=True)
    return [f"{output.clock(at, now)} {what}" for at, what in found[:_REMEMBERED]]


def _at(config: dict[str, Any]) -> float:
    """When a config took the state that it has."""
    steps = ("final_at", "verified_at", "applied_at", "received_at", "sent_at", "queued_at")
    return float(next(config[step] for step in steps if config[step] is not None))


def _state_of(config: dict[str, Any]) -> str:
    return f"v{config['revision']} {config['state'].replace('_', ' ')}"


def _channel(channel: dict[str, Any]) -> str:
    about = " ".join(x for x in (channel["metric"], channel["unit"]) if x)
    return output.clean(f"{channel['name']} ({about or channel['type'] or '?'})")
