"""What is wrong with a config document, or with values of node.json. Pure; no clock, no I/O."""
# Rules of this file. It is loaded when something is to be checked, and forgotten again. What it lets pass can
# be used without another look at its types: names become topics, mqtt goes to the link, wifi to the radio.
# Texts and order are those of A6.2. A rule is `name=kind`, or `name,name=kind`, with a ! where the value has
# to be there.

from . import const
from .protocol import is_integer, is_name
from .wiring import BUSES, DRIVERS, driver_of, pins_of, wired

MQTT = (
    "host=word! port=1..65535! keepalive=1..65535 username,user,password,pass,client_id=text"
    " tls,use_tls=true-or-false"
)
NETWORK = "ssid=word! pass,password=text ip=[address,mask,gateway,DNS]"
_LINK_LOSS = "link_loss_timeout_sec=0..86400"
_CHANNEL = const(
    "name=name<=63! type,metric,unit,actuator_type,driver,pull=text"
    " dead_band=amount scale,offset=number ml_per_second=positive"
    " poll_interval_ms=100..86400000 precision=0..9 safe_limits=object relay_type=NC|NO"
)
_LIMITS = const("max_duration_ms,min_off_ms=0..86400000 fail_safe_mode=NC|NO")
_ORDER = (
    ("", "node_id=text! version=number! type=text! channels=list! mqtt=object!"),
    ("mqtt", MQTT),
    ("", "gh_uid,zone_uid,node_id=name<=64! wifi=object"),
    ("wifi", NETWORK),
    ("", "node_secret=word calibration,fail_safe_guards=object " + _LINK_LOSS),
    ("fail_safe_guards", _LINK_LOSS),
)
_RELAYS = const(("RELAY", "VALVE", "FAN", "HEATER"))
_TYPES = {"text": str, "word": str, "two-letters": str, "object": dict, "list": list}


def broken(values, rules):
    """(name, kind) of each value that breaks its rule."""
    found = []
    for rule in rules.split():
        names, kind = rule.split("=", 1)
        must, kind = kind[-1] == "!", kind.rstrip("!")
        for name in names.split(","):
            value = values.get(name)
            if name not in values or (value is None and (kind in _TYPES or kind[0] == "[")):
                good = not must
            else:
                good = _fits(value, kind)
            if not good:
                found.append((name, kind))
    return found


def _fits(value, kind):
    least, dots, most = kind.partition("..")
    if dots:
        return is_integer(value, int(least), int(most))
    if "|" in kind:
        return value in kind.split("|")
    if kind == "true-or-false":
        return value in (True, False)  # what somebody means by "no" must not decide over a cipher
    if kind[0] == "[":
        return not value or (isinstance(value, list) and [type(v) for v in value] == [str] * 4)
    if kind in _TYPES:
        good = isinstance(value, _TYPES[kind])
        if kind == "word":
            return good and 0 < len(value) <= 128
        return good and (kind != "two-letters" or len(value) == 2)
    if kind == "pin":
        return is_integer(value, 0, 255) or bool(value and isinstance(value, str))
    kind, _, most = kind.partition("<=")
    if kind == "name":
        return is_name(value, int(most))
    return _counts(value, kind, most)


def _counts(value, kind, most):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if kind == "positive":
        return 0 < value <= int(most or 1 << 60)
    return kind == "number" or value >= 0


def problem(doc, settings):
    """(path, what is wrong) of the first bad value in the order of A6.2, None for a good one; the
    settings know the pins."""
    for place, rules in _ORDER:
        values = doc.get(place) if place else doc
        if values is None or (place and values.get("configured") is True):
            continue
        found = _first(values, rules, place + "." if place else "")
        if found:
            return found
    return _channels(doc["channels"], settings)


def _first(values, rules, before):
    for name, _ in broken(values, rules):
        return before + name, "Missing or invalid " + name
    return None


def _channels(channels, settings):
    names, taken = [], {settings.get("led"): "led"}
    for number, channel in enumerate(channels):
        path = "channels[%d]" % number
        if not isinstance(channel, dict):
            return path, "Missing or invalid " + path
        path += "."
        contact = "!" if channel.get("actuator_type") in _RELAYS else ""
        found = _first(channel, _CHANNEL + contact, path)
        if not found and channel["name"] in names:
            found = path + "name", "Missing or invalid name"
        if not found:
            limits = channel.get("safe_limits") or {}
            found = _first(limits, _LIMITS, path + "safe_limits.") or _wiring(
                wired(channel, settings.get("pins")), path, settings, taken
            )
        if found:
            return found
        names.append(channel["name"])
    return None


def _wiring(channel, path, settings, taken):
    driver, pins = driver_of(channel, settings.get("simulate")), pins_of(channel)
    if driver and driver not in DRIVERS:
        return path + "driver", "Unknown driver"
    path += "pin"
    for pin in pins:
        if not _fits(pin, "pin"):
            return path, "Missing or invalid pin"
        user = driver if driver in BUSES else path
        if taken.setdefault(pin, user) != user:
            return path, "Pin %s is used twice" % pin
    if driver and len(pins) != DRIVERS[driver] and (pins or not settings.get("simulate")):
        return path, "%s needs %d pin(s)" % (driver, DRIVERS[driver])
    return None
