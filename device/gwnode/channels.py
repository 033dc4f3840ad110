"""What the channels of a config do: sensors are read when it is time, actuators fail safe. Pure, as node.py."""
# Rules of this file. It is loaded when a config has a channel with a driver, and not before. Drivers
# are touched by actions alone: ("hardware", what, ...) out, and the same back in as an event.

from . import commands, const, say
from .actuators import Actuator
from .samples import Samples
from .wiring import ACTUATORS, driver_of, wired

_EVERY_MS = const(10000)
_AGAIN_MS = const(800)  # a driver that was asked for the first half of its work
_REPEAT_MS = const(300000)  # a value in its dead band is told this often all the same


def wanted(config, settings):
    """(channel, driver) of the channels that have a driver."""
    found = []
    for channel in config["channels"]:
        channel = wired(channel, settings.get("pins"))
        driver = driver_of(channel, settings.get("simulate"))
        if driver:
            found.append((channel, driver))
    return found


class Sensor:
    """One channel that is read."""

    def __init__(self, channel, now):
        self.channel = channel
        self.every = channel.get("poll_interval_ms", _EVERY_MS)
        self.at = now
        self.value = None  # that was told
        self.told = 0
        self.fresh = False  # it was read, or found broken, in this boot
        self.job = None  # a command that waits for a value

    def test(self, now, to):
        """The command test_sensor: the answer comes with the value."""
        if self.job:
            return "BUSY", "actuator_busy"
        self.job = to
        self.at = now
        return None

    def worth(self, value, now):
        """Is it news?"""
        if self.value is None or now - self.told >= _REPEAT_MS:
            return True
        band = self.channel.get("dead_band", 0)
        return abs(value - self.value) >= band


class Channels:
    """All of one config."""

    def __init__(self, node, out, now, found):
        self.sensors, self.actuators = {}, {}
        self.heard = now  # when there was a connection
        self.is_safe = False
        for channel, driver in found:
            if driver in ACTUATORS:
                self.actuators[channel["name"]] = Actuator(channel, driver, now)
            else:
                self.sensors[channel["name"]] = Sensor(channel, now)
        if node.samples is None:
            node.samples = Samples()
        out.append(("hardware", "open", found))
        for actuator in self.actuators.values():
            actuator.rest(out)

    def due(self, node, out, now):
        for name, sensor in self.sensors.items():
            # a sample without a time is none
            if now >= sensor.at and (node.wall is not None or sensor.job):
                sensor.at = now + sensor.every
                out.append(("hardware", "read", name))
        for actuator in self.actuators.values():
            actuator.due(out, now)
        self._mind_link(node, out, now)

    def _mind_link(self, node, out, now):
        config = node.config
        guards = config.get("fail_safe_guards") or {}
        limit = config.get("link_loss_timeout_sec", guards.get("link_loss_timeout_sec", 0))
        if node.connected:
            self.heard = now
            if self.is_safe and node.wall is not None:
                self.is_safe = False
                say.event(node, out, now, "system", "link_loss_failsafe", {"timeout_s": limit})
        elif limit and now - self.heard >= limit * 1000 and not self.is_safe:
            self.is_safe = True
            out.append(("log", "link lost for %d s: actuators to their safe state" % limit))
            self.stop(node, out, now)

    def stop(self, node, out, now):
        """Everything to its safe state."""
        for actuator in self.actuators.values():
            actuator.stop(node, out, now)

    def is_done(self):
        """Everything was read once, and nothing is under way."""
        sensors, actuators = self.sensors.values(), self.actuators.values()
        return all([one.fresh and not one.job for one in sensors]) and not any(
            [one.job or one.until for one in actuators]
        )

    def command(self, node, out, now, to, command):
        """The result, None where it comes later."""
        name = command["cmd"]
        actuator, sensor = self.actuators.get(to[0]), self.sensors.get(to[0])
        if sensor and name == "test_sensor":
            return sensor.test(now, to)
        if not actuator or name not in actuator.commands:
            return "INVALID", "unsupported_channel_cmd"
        if not isinstance(command.get("params"), dict):
            return "INVALID", "invalid_params_format"
        return actuator.command(node, out, now, to, command)

    # -- what the hardware said ------------------------------------------------------------------

    def on_read(self, node, out, now, name, value):
        """A value, None where the driver wants to be asked again soon."""
        sensor = self.sensors.get(name)
        if sensor is None:
            return  # of the config before this one
        if value is None:
            sensor.at = now + _AGAIN_MS
            return
        sensor.fresh = True
        value = round(value, sensor.channel.get("precision", 3))
        details = {"value": value, "unit": sensor.channel.get("unit", "")}
        self._answer(node, out, now, sensor, ("DONE", None, details))
        if sensor.worth(value, now):
            sensor.value, sensor.told = value, now
            node.samples.take(node, out, now, sensor.channel, value)

    def on_unread(self, node, out, now, name, why):
        """It could not be read."""
        sensor = self.sensors.get(name)
        if sensor:
            sensor.fresh = True
            self._answer(node, out, now, sensor, ("ERROR", "handler_error"))
        node.on_trouble(out, now, name, why)

    def _answer(self, node, out, now, sensor, result):
        to, sensor.job = sensor.job, None
        if to:
            commands.finish(node, out, now, to, result)

    def on_driven(self, node, out, now, name, why):
        """An actuator did as it was told, or `why` says what was wrong."""
        actuator = self.actuators.get(name)
        if actuator:
            actuator.driven(node, out, now, why)
        if why:
            node.on_trouble(out, now, name, why)
