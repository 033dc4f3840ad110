"""NodeConfig v3: what is wrong with a document, and documents made from others (PROTOCOL A6).

Rules of this file. Pure. Every problem is found in one go and carries the path of the bad value;
nothing here shows a secret. What a node would only log (A6.2 step 1) is refused here, aloud.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from gateway import DataError, Problem, encode, is_temp, is_uid

Document = Mapping[str, Any]

TEMP = ("gh-temp", "zn-temp")
STRING_LIMIT = 127
DEPTH_LIMIT = 16
METRICS = (
    "PH", "EC", "TEMPERATURE", "HUMIDITY", "CO2", "LIGHT_INTENSITY", "WATER_LEVEL",
    "WATER_LEVEL_SWITCH", "SOIL_MOISTURE", "SOIL_TEMP", "WIND_SPEED", "WIND_DIRECTION", "FLOW_RATE",
    "PUMP_CURRENT",
)  # fmt: skip
ACTUATORS = (
    "PUMP", "PERISTALTIC_PUMP", "RELAY", "VALVE", "DRIVE", "FAN", "HEATER", "LED", "PWM", "SYSTEM",
)  # fmt: skip
RELAYS = ("RELAY", "VALVE", "FAN", "HEATER")
PLACEHOLDER = {"configured": True}


def problems(document: Document, extra_metrics: tuple[str, ...] = ()) -> list[Problem]:
    """Everything that is wrong with this document, in the order in which a reader meets it."""
    found = [
        *_top(document),
        *_channels(document.get("channels"), (*METRICS, *extra_metrics)),
        *_wifi(document),
        *_mqtt(document.get("mqtt")),
        *_options(document),
        *_strings(document, "", 1),
    ]
    try:
        encode(document)
    except DataError as error:
        found.append(_from_data_error(error))
    first: dict[str, Problem] = {}
    for problem in found:
        first.setdefault(problem.path, problem)
    return list(first.values())


def _top(document: Document) -> Iterator[Problem]:
    for name in ("node_id", "type"):
        if not _text(document.get(name)):
            yield _bad(document, name, "needs a text")
    if not _number(document.get("version")):
        yield _bad(document, "version", "needs a number; the format is 3")
    for name in ("gh_uid", "zone_uid"):
        value = document.get(name)
        if not isinstance(value, str) or not value:
            yield _bad(document, name, "needs a text; gh-temp and zn-temp stand for not bound")
        elif not is_uid(value) or len(value) > 63:
            yield Problem(name, f"{value!r} is no uid: a-z, 0-9, - and _, at most 63 characters")
    if not isinstance(document.get("channels"), list):
        yield _bad(document, "channels", "needs a list")
    if not isinstance(document.get("mqtt"), Mapping):
        yield _bad(
            document, "mqtt", 'needs an object; {"configured": true} keeps what the node has'
        )


def _channels(channels: Any, metrics: tuple[str, ...]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for i, channel in enumerate(channels if isinstance(channels, list) else ()):
        at = f"channels[{i}]"
        if not isinstance(channel, Mapping):
            yield Problem(at, "needs an object")
            continue
        name = channel.get("name")
        if not isinstance(name, str) or not name:
            yield _bad(channel, "name", "needs a text", at)
        elif not is_uid(name) or len(name) > 63:
            yield Problem(
                f"{at}.name", f"{name!r} cannot be a topic: a-z, 0-9, - and _, at most 63"
            )
        elif name in seen:
            yield Problem(f"{at}.name", f"{name!r} is the name of channels[{seen[name]}] already")
        else:
            seen[name] = i
        yield from _channel_kind(channel, at, metrics)
        yield from _channel_numbers(channel, at)


def _channel_kind(channel: Document, at: str, metrics: tuple[str, ...]) -> Iterator[Problem]:
    kind = channel.get("type")
    if kind == "SENSOR":
        metric = channel.get("metric")
        if not (isinstance(metric, str) and metric.startswith("OUTSIDE_")):
            yield from _one_of(channel, "metric", metrics, at)
    elif kind == "ACTUATOR":
        yield from _one_of(channel, "actuator_type", ACTUATORS, at)
    else:
        yield _bad(channel, "type", "needs SENSOR or ACTUATOR", at)
    actuator, relay = channel.get("actuator_type"), channel.get("relay_type")
    if relay is None and actuator in RELAYS:
        yield Problem(
            f"{at}.relay_type", f'missing: an actuator of type {actuator} needs "NC" or "NO"'
        )
    elif relay is not None and relay not in ("NC", "NO"):
        yield Problem(f"{at}.relay_type", f'{relay!r} is neither "NC" nor "NO"')


def _channel_numbers(channel: Document, at: str) -> Iterator[Problem]:
    for name in ("poll_interval_ms", "ml_per_second"):
        value = channel.get(name)
        if value is not None and not (_number(value) and value > 0):
            yield Problem(f"{at}.{name}", f"{value!r} is no number above 0")
    limits = channel.get("safe_limits")
    if limits is None:
        return
    if not isinstance(limits, Mapping):
        yield Problem(f"{at}.safe_limits", "needs an object")
        return
    for name in ("max_duration_ms", "min_off_ms"):
        value = limits.get(name)
        if value is not None and not (_number(value) and value >= 0):
            yield Problem(f"{at}.safe_limits.{name}", f"{value!r} is no number from 0 up")
    mode = limits.get("fail_safe_mode")
    if mode is not None and mode not in ("NC", "NO"):
        yield Problem(f"{at}.safe_limits.fail_safe_mode", f'{mode!r} is neither "NC" nor "NO"')


def _wifi(document: Document) -> Iterator[Problem]:
    wifi = document.get("wifi")
    if wifi is None and "wifi" not in document:
        return
    if not isinstance(wifi, Mapping):
        yield Problem("wifi", "needs an object, or leave it out to keep what the node has")
    elif wifi.get("configured") is not True and not _text(wifi.get("ssid")):
        yield _bad(
            wifi, "ssid", 'needs a text, or "configured": true to keep what is there', "wifi"
        )


def _mqtt(mqtt: Any) -> Iterator[Problem]:
    if not isinstance(mqtt, Mapping):
        return
    kept = mqtt.get("configured") is True
    # with one of the two alone a node keeps both of its own, and the change is lost (A6.2 step 4)
    needed = not kept or "host" in mqtt or "port" in mqtt
    if needed and not _text(mqtt.get("host")):
        yield _bad(
            mqtt, "host", 'needs a text, or "configured": true to keep what is there', "mqtt"
        )
    port = mqtt.get("port")
    if needed and port is None:
        yield _bad(mqtt, "port", "needs a port (1..65535)", "mqtt")
    elif needed and not _is_port(port):
        yield Problem("mqtt.port", f"{port!r} is not a port (1..65535)")
    keepalive = mqtt.get("keepalive")
    if keepalive is not None and not (_number(keepalive) and 1 <= keepalive <= 65_535):
        yield Problem("mqtt.keepalive", f"{keepalive!r} is no number of seconds (1..65535)")


def _options(document: Document) -> Iterator[Problem]:
    for name in ("limits", "calibration", "fail_safe_guards"):
        if name in document and not isinstance(document[name], Mapping):
            yield Problem(name, "needs an object")
    guards = document.get("fail_safe_guards")
    places = [("", document), ("fail_safe_guards.", guards if isinstance(guards, Mapping) else {})]
    for at, place in places:
        value = place.get("link_loss_timeout_sec")
        if value is not None and not (_number(value) and value >= 0):
            yield Problem(
                f"{at}link_loss_timeout_sec", f"{value!r} is no number of seconds, 0 = off"
            )
    if "node_secret" in document and not _text(document["node_secret"]):
        yield Problem("node_secret", "needs a text; leave it out and the gateway puts its own in")
    legacy = document.get("allow_legacy_hmac")
    if legacy is not None and not isinstance(legacy, bool):
        yield Problem("allow_legacy_hmac", "needs true or false")


def _strings(value: Any, path: str, depth: int) -> Iterator[Problem]:
    """Texts that a node would cut off, and nesting that it refuses."""
    if isinstance(value, str):
        size = len(value.encode(errors="replace"))
        if size > STRING_LIMIT:
            yield Problem(path, f"{size} bytes of text, a node keeps {STRING_LIMIT}")
    elif isinstance(value, (Mapping, list)):
        if depth > DEPTH_LIMIT:
            yield Problem(path, f"nested deeper than {DEPTH_LIMIT} levels")
            return
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, inner in pairs:
            at = f"{path}[{key}]" if isinstance(value, list) else _join(path, str(key))
            yield from _strings(inner, at, depth + 1)


def _one_of(place: Document, name: str, known: tuple[str, ...], at: str) -> Iterator[Problem]:
    value = place.get(name)
    if not isinstance(value, str):
        yield _bad(place, name, "needs one of " + " ".join(known), at)
    elif value not in known:
        near = difflib.get_close_matches(value.upper(), known, 1)
        yield Problem(
            f"{at}.{name}",
            f"{value!r} is unknown; " + (f"did you mean {near[0]}?" if near else " ".join(known)),
        )


def _bad(place: Document, name: str, need: str, at: str = "") -> Problem:
    how = "missing" if place.get(name) is None else "wrong"
    return Problem(_join(at, name), f"{how}: {need}")


def _from_data_error(error: DataError) -> Problem:
    path, colon, message = error.what.partition(": ")
    return Problem(path, message) if colon else Problem("", error.what)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is_port(value: Any) -> bool:
    return _number(value) and float(value).is_integer() and 1 <= value <= 65_535


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def target(document: Document) -> tuple[str, str]:
    """The greenhouse and zone that the document binds to; two empty texts where to none."""
    gh, zone = document.get("gh_uid"), document.get("zone_uid")
    if not (isinstance(gh, str) and isinstance(zone, str)) or is_temp(gh, zone):
        return "", ""
    return gh, zone


def bound_to(document: Document, gh: str, zone: str) -> dict[str, Any]:
    """This document for that place; two empty texts unbind."""
    made = copy.deepcopy(dict(document))
    made["gh_uid"], made["zone_uid"] = (gh, zone) if gh and zone else TEMP
    return made


def skeleton(uid: str, kind: str) -> dict[str, Any]:
    """The least document there is: for a node that has neither been told nor shown anything."""
    return {
        "node_id": uid,
        "version": 3,
        "type": kind,
        "gh_uid": TEMP[0],
        "zone_uid": TEMP[1],
        "channels": [],
        "wifi": dict(PLACEHOLDER),
        "mqtt": dict(PLACEHOLDER),
    }
