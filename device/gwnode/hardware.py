"""The drivers of the channels that a config has, and the ring of samples: what channels.py asks for."""
# Rules of this file. A driver is a file of drivers/ with a class Driver(pins, channel); it is imported
# when a channel asks for it. It has read() for a sensor (a number, None for "ask again in a second")
# or do(level) for an actuator (0 to 255), and close() where there is something to give back. What a
# driver does wrong costs its own channel, nobody else.

import gc

from . import const, log
from .ring import Ring
from .wiring import pins_of

_BLOCKS = const(16)


class Hardware:
    """Calls in, events out."""

    def __init__(self, folder, settings, events):
        self._simulate = settings.get("simulate")
        self._events = events
        self._drivers = {}
        self._ring = Ring(folder, settings.get("ring_blocks", _BLOCKS))
        self._stored()

    def _tell(self, *words):
        self._events.append(("hardware",) + words)

    def _stored(self):
        self._tell("stored", self._ring.count, [list(one) for one in self._ring.lost])

    # -- drivers ---------------------------------------------------------------------------------

    def open(self, found):
        """These channels and no others."""
        for driver in self._drivers.values():
            if hasattr(driver, "close"):
                driver.close()
        self._drivers = {}
        gc.collect()
        for channel, name in found:
            try:
                made = _driver("sim" if self._simulate else name)
                made = made.kind(name) if self._simulate else made.Driver
                self._drivers[channel["name"]] = made(pins_of(channel), channel)
                log.info(
                    "channel %s: %s%s"
                    % (channel["name"], "simulated " * bool(self._simulate), name)
                )
            except Exception as error:  # noqa: BLE001 - a driver's mistake is its own channel's
                self._drivers[channel["name"]] = _Broken(error)

    def read(self, name):
        try:
            value = self._drivers[name].read()
        except Exception as error:  # noqa: BLE001 - the same
            self._tell("unread", name, _text(error))
            return
        self._tell("read", name, value)

    def drive(self, name, level):
        why = None
        try:
            self._drivers[name].do(level)
        except Exception as error:  # noqa: BLE001 - the same
            why = _text(error)
        self._tell("driven", name, why)

    # -- samples ---------------------------------------------------------------------------------

    def put(self, boot_id, samples):
        self._ring.put(boot_id, samples)
        self._stored()

    def fetch(self):
        found = self._ring.fetch()
        if found:
            self._tell("fetched", *found)
        self._stored()

    def release(self):
        self._ring.release()

    def drop(self):
        self._ring.drop()
        self._stored()

    def told(self, ranges):
        self._ring.told(ranges)
        self._stored()


class _Broken:
    """Stands where a driver could not be opened."""

    def __init__(self, error):
        self._error = error

    def read(self):
        raise self._error

    def do(self, level):
        raise self._error


def _driver(name):
    return __import__("gwnode.drivers." + name, None, None, ("Driver",))


def _text(error):
    return ("%s %s" % (type(error).__name__, error))[:80]
