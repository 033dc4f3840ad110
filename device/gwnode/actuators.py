"""What an actuator may do: limits, times, its safe state (A7). Pure, as node.py."""
# Rules of this file. On means that the load is on; with a contact of the kind NC the coil is then off.
# Whatever switches on has an end, by the command or by safe_limits. The safe state is what the contact
# has without current, or what fail_safe_mode says. An answer is given when the driver has done it.

from . import commands, const
from .protocol import is_integer

_LONGEST_MS = const(300000)
_MOST_ML = const(500)
_FULL = const(255)
_RUNS = const(("run_pump", "dose"))


class Actuator:
    """One channel that acts."""

    def __init__(self, channel, driver, now):
        self.channel = channel
        self.name = channel["name"]
        self.commands = ("set_relay", "run_pump", "dose")
        if driver == "pwm":
            self.commands += ("set_pwm",)
        limits = channel.get("safe_limits") or {}
        self.most_ms = limits.get("max_duration_ms", 0)
        self.pause_ms = limits.get("min_off_ms", 0)
        contact = channel.get("relay_type")
        self.inverted = contact == "NC"
        self.safe = _FULL if limits.get("fail_safe_mode", contact) == "NC" else 0
        self.level = self.safe
        self.until = None  # when it goes off by itself
        self.off_since = now  # nobody knows how long it was off before this boot
        self.job = None  # (channel, cmd_id) that waits for an answer
        self.answer = None  # which one it gets when the driver has done its part

    def rest(self, out):
        """To the safe state."""
        self._drive(out, self.safe)

    def _drive(self, out, level):
        self.level = level
        out.append(("hardware", "drive", self.name, _FULL - level if self.inverted else level))

    def due(self, out, now):
        if self.until is not None and now >= self.until:
            self.answer = "DONE"
            self._off(out, now, 0)

    def _off(self, out, now, level):
        self.until = None
        if self.level:
            self.off_since = now
        self._drive(out, level)

    def stop(self, node, out, now):
        """To the safe state, whatever it does; a run is told as broken off."""
        self._end(node, out, now, ("ERROR", "interrupted"))
        self._off(out, now, self.safe)

    def _end(self, node, out, now, result):
        job, self.job, self.answer = self.job, None, None
        if job:
            commands.finish(node, out, now, job, result)

    def driven(self, node, out, now, why):
        """The driver did it, or `why` not."""
        if why:
            self.until = None
            self._end(node, out, now, ("ERROR", "handler_error"))
        elif self.answer == "DONE":
            self._end(node, out, now, ("DONE", None))
        elif self.answer:
            self.answer = None  # the other one comes at the end of the run
            commands.answer(node, out, now, self.job, ("ACK", None))

    # -- commands --------------------------------------------------------------------------------

    def command(self, node, out, now, to, command):
        """The result, None where it comes when it is done."""
        name = command["cmd"]
        wish = self._wish(name, command["params"])
        if wish is None:
            return "INVALID", "invalid_params"
        level, duration = wish
        if duration and self.most_ms and duration > self.most_ms:
            return "INVALID", "invalid_params"
        if level:
            busy = self._busy(now, level, duration, name)
            if busy:
                return busy
            self._set_end(now, duration)
        else:
            self._end(node, out, now, ("ERROR", "interrupted"))
        out.append(("remember", to[1], None))
        self.job, self.answer = to, "ACK" if name in _RUNS else "DONE"
        if level:
            self._drive(out, level)
        else:
            self._off(out, now, 0)
        return None

    def _busy(self, now, level, duration, name):
        if self.job or (self.until is not None and name != "set_pwm"):
            return "BUSY", "actuator_busy"
        if not self.level and now - self.off_since < self.pause_ms:
            return "BUSY", "pump_in_cooldown"
        if self.level == level and not duration:
            return "NO_EFFECT", None
        return None

    def _set_end(self, now, duration):
        end = now + (duration or self.most_ms) if duration or self.most_ms else None
        if self.level and self.until is not None:
            end = min(end or self.until, self.until)  # a new level is no new time
        self.until = end

    def _wish(self, name, params):
        """(level, duration in ms or 0), None for what cannot be meant."""
        duration = params.get("duration_ms", 0)
        if not is_integer(duration, 0, _LONGEST_MS):
            return None
        if name == "set_pwm":
            value = params.get("value")
            return (value, duration) if is_integer(value, 0, _FULL) else None
        if name == "set_relay":
            state = params.get("state")
            good = isinstance(state, bool) or is_integer(state, 0, 1)
            return (_FULL if state else 0, duration) if good else None
        if name == "run_pump":
            return (_FULL, duration) if duration else None
        amount, rate = params.get("ml"), self.channel.get("ml_per_second")
        if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not rate:
            return None
        duration = int(amount * 1000 // rate) if 0 < amount <= _MOST_ML else 0
        return (_FULL, duration) if 0 < duration <= _LONGEST_MS else None
