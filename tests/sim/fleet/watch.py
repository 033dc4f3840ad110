"""Liveness as `watch.py` of the heartbeat plugin asks it, and the truth that it is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway_heartbeat.liveness import (
    Beat,
    Grace,
    Pulse,
    beat,
    declares,
    late_after,
    offline_after,
    passed,
    proof,
    will,
)

from tests.sim.fleet.record import Record

if TYPE_CHECKING:
    from tests.sim.fleet.desk import Desk

GRACE = Grace()
_SWEEP = 1.0
"""How often the real gateway looks for deadlines."""
PING = 5.0
LAG = _SWEEP + PING + 1.0
"""What a look at deadlines each second, on a clock that runs from ping to ping, may add to a state."""
STEP = 10.0
_TRANSIT = 5.0
_SETTLED = 30.0
"""Seconds after which a board that is there and shown offline is a lie."""


class Watch:
    """Who is alive, and for how long a dead one was shown alive."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.beats = 0
        self.over_online = self.over_alive = 0.0

    def listen(self, record: Record, kind: str, message: dict[str, Any]) -> None:
        """A live message."""
        now, before, boot = self.desk.clock.read(), record.pulse, message.get("boot_id")
        if kind == "heartbeat":
            self.beats += 1
            after = beat(before, _said(message), now, GRACE)
        elif kind == "lwt":
            after = will(before, boot, record.boot_id)
        else:
            after = proof(before, boot, now, GRACE)
        record.pulse = after
        if after.proof > before.proof:
            record.spoke_at = now
        if after.life == "offline" != before.life:
            self._went_offline(record)
        if not record.watched and after.wait is not None:
            record.watched = True
            self._wait(record)

    def learn(self, record: Record, message: dict[str, Any]) -> None:
        """A beat of the past."""
        record.pulse = declares(record.pulse, _said(message), GRACE)

    def _wait(self, record: Record) -> None:
        """One alarm for each node, set anew when it rings too early."""
        desk, pulse = self.desk, record.pulse
        if pulse.wait is None:
            record.watched = False
            return
        now = desk.clock.read()
        heard = desk.resumed if desk.resumed is not None else now
        left = max(max(pulse.proof, heard) + pulse.wait - now, 0.0)
        desk.broker.later_by(left + desk.chance.random() * _SWEEP, self._deadline, record)

    def _deadline(self, record: Record) -> None:
        desk, before = self.desk, record.pulse
        if desk.wire is not None and desk.resumed is not None and before.wait is not None:
            now = desk.clock.read()
            after = passed(before, now, desk.resumed, GRACE)
            if after.life != before.life:
                self._left(before, now - max(record.spoke_at, desk.resumed))
                if after.life == "offline":
                    self._went_offline(record)
            record.pulse = after
        self._wait(record)

    # -- the truth -----------------------------------------------------------------------------

    def _left(self, before: Pulse, silence: float) -> None:
        """How long it was shown alive in silence, less what it may be."""
        if before.life == "online":
            over = silence - late_after(before.interval, GRACE)
            self.over_online = max(self.over_online, over)
        over = silence - offline_after(before.interval, GRACE)
        self.over_alive = max(self.over_alive, over)

    def _went_offline(self, record: Record) -> None:
        self.desk.events["offline"] += 1
        since = self.desk.heap.now
        self.desk.broker.later_by(_SETTLED, self._is_it_true, record, since)

    def _is_it_true(self, record: Record, since: float) -> None:
        """Still offline, and its board is connected and has been all the time."""
        steady = record.board.steady_since(self.desk.heap.now)
        if record.pulse.life == "offline" and steady <= since and self.desk.resumed is not None:
            self.desk.events["false_offline"] += 1

    def look(self) -> None:
        """Every state against the truth: who is long dead is not alive, who beats is not dead."""
        desk = self.desk
        if desk.wire is None or desk.resumed is None or desk.wire.cut or desk.barrier.up:
            return
        now, real = desk.clock.read(), desk.heap.now
        for name, record in desk.records.items():
            board, pulse = record.board, record.pulse
            allowed = offline_after(pulse.interval, GRACE) + STEP + _SWEEP + _TRANSIT
            silent = now - max(record.spoke_at, desk.resumed)
            if pulse.life in ("online", "late") and silent > allowed:
                desk.wrong.append(f"{name} is {pulse.life} after {silent:.0f} s of silence")
            settled = real - board.steady_since(real) > board.settings["interval_s"] * 1.2 + 30
            heard = now - desk.resumed > board.settings["interval_s"] * 1.2 + 30
            if settled and heard and pulse.life != "online":
                desk.wrong.append(f"{name} beats and is {pulse.life}")


def _said(message: dict[str, Any]) -> Beat:
    return Beat(message["boot_id"], message["seq"], 1, message["interval_s"])
