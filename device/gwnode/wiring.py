"""Which driver and which pins a channel has, and what is wrong with a channel. Pure; no clock, no I/O."""
# Rules of this file. What problem() lets pass can be used without another look at its types. Wiring
# is the board's: what node.json says in "pins" wins over a config, whose pins many backends strip.

from .protocol import is_integer, is_name

# driver: how many pins it has
DRIVERS = {"analog": 1, "digital": 1, "pulse": 1, "ds18x20": 1, "sht3x": 2, "relay": 1, "pwm": 1}
ACTUATORS = ("relay", "pwm")
_BUSES = ("ds18x20", "sht3x")  # many devices on the same pins
# what a channel with a pin is driven by where nobody says it; relay and analog else
_USUAL = {"PWM": "pwm", "LED": "pwm", "WATER_LEVEL_SWITCH": "digital", "FLOW_RATE": "pulse"}
_UNDRIVEN = ("SYSTEM", "DRIVE")
_RELAYS = ("RELAY", "VALVE", "FAN", "HEATER")
_TEXTS = ("type", "metric", "unit", "actuator_type", "driver", "pull")
_NUMBERS = ("dead_band", "scale", "offset", "ml_per_second")
_DAY_MS = 86400000


def wired(channel, pins):
    """A channel with what node.json says of its wiring."""
    given = (pins or {}).get(channel["name"])
    if given is None:
        return channel
    both = dict(channel)
    both.update(given if isinstance(given, dict) else {"pin": given})
    return both


def pins_of(channel):
    pin = channel.get("pin", channel.get("gpio"))
    return pin if isinstance(pin, list) else [] if pin is None else [pin]


def driver_of(channel, simulate):
    """The driver's name, None for a channel that is there in name only."""
    kind = channel.get("actuator_type")
    if channel.get("driver") or kind in _UNDRIVEN or not (simulate or pins_of(channel)):
        return channel.get("driver")
    usual = "relay" if kind or channel.get("type") == "ACTUATOR" else "analog"
    return _USUAL.get(kind or channel.get("metric"), usual)


def problem(channels, settings):
    """(path, what is wrong) of the first bad value, None for good ones."""
    names, taken = [], {}
    for number, channel in enumerate(channels):
        path = "channels[%d]" % number
        if not isinstance(channel, dict):
            return _bad(path)
        name = channel.get("name")
        if not is_name(name, 63) or name in names:
            return _bad(path, "name")
        names.append(name)
        relay = channel.get("actuator_type") in _RELAYS
        if (relay or "relay_type" in channel) and not _contact(channel.get("relay_type")):
            return _bad(path, "relay_type")
        found = _types(channel, path) or _limits(channel.get("safe_limits"), path)
        if found is None:
            found = _wiring(wired(channel, settings.get("pins")), path, settings, taken)
        if found:
            return found
    return None


def _bad(path, name=None):
    return (path + "." + name if name else path), "Missing or invalid " + (name or path)


def _contact(value):
    return value in ("NC", "NO")


def _types(channel, path):
    for name in _TEXTS:
        if channel.get(name) is not None and not isinstance(channel[name], str):
            return _bad(path, name)
    for name in _NUMBERS:
        value = channel.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return _bad(path, name)
        if (value < 0 and name == "dead_band") or (value <= 0 and name == "ml_per_second"):
            return _bad(path, name)
    for name, least, most in (("poll_interval_ms", 100, _DAY_MS), ("precision", 0, 9)):
        if not is_integer(channel.get(name, least), least, most):
            return _bad(path, name)
    return None


def _limits(limits, path):
    if limits is None:
        return None
    path += ".safe_limits"
    if not isinstance(limits, dict):
        return _bad(path)
    for name in ("max_duration_ms", "min_off_ms"):
        if not is_integer(limits.get(name, 0), 0, _DAY_MS):
            return _bad(path, name)
    if not _contact(limits.get("fail_safe_mode", "NO")):
        return _bad(path, "fail_safe_mode")
    return None


def _wiring(channel, path, settings, taken):
    driver, pins = driver_of(channel, settings.get("simulate")), pins_of(channel)
    if driver and driver not in DRIVERS:
        return path + ".driver", "Unknown driver"
    for pin in pins:
        if not (is_integer(pin, 0, 255) or (isinstance(pin, str) and pin)):
            return _bad(path, "pin")
        user = driver if driver in _BUSES else path
        if taken.setdefault(pin, user) != user:
            return path + ".pin", "Pin %s is used twice" % pin
    if driver and len(pins) != DRIVERS[driver] and (pins or not settings.get("simulate")):
        return path + ".pin", "%s needs %d pin(s)" % (driver, DRIVERS[driver])
    return None
