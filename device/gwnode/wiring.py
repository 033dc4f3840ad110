"""Which driver and which pins a channel has. Pure; no clock, no I/O."""
# Rules of this file. Wiring is the board's: what node.json says in "pins" wins over a config, whose pins
# many backends strip.

from . import const

# driver: how many pins it has
DRIVERS = {"analog": 1, "digital": 1, "pulse": 1, "ds18x20": 1, "sht3x": 2, "relay": 1, "pwm": 1}
ACTUATORS = ("relay", "pwm")
BUSES = ("ds18x20", "sht3x")  # many devices on the same pins
# what a channel with a pin is driven by where nobody says it; relay and analog else
_USUAL = {"PWM": "pwm", "LED": "pwm", "WATER_LEVEL_SWITCH": "digital", "FLOW_RATE": "pulse"}
_UNDRIVEN = const(("SYSTEM", "DRIVE"))


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
