"""How fast a fleet is switched on: as fast as it is taken in, however slow this machine is."""

from __future__ import annotations

_PATIENCE = 5.0  # where no receipt comes for so long, nobody waits for one


class Pace:
    """How many nodes have power by now. What a fleet does when all of it wakes at once is the scenario
    `storm`; a start goes as fast as the gateway takes them in, whatever else this machine does.

    `starts` are switched on in a second, at most; where `unanswered` wait for their first receipt,
    the next ones wait for power.
    """

    def __init__(self, now: float, starts: int, unanswered: int) -> None:
        self._starts = starts
        self._unanswered = unanswered
        self._last = self._heard_at = now
        self._answered = 0
        self._room = 0.0

    def allowed(self, now: float, on: int, answered: int) -> int:
        """How many there may be, where `on` are and `answered` of them have their receipt."""
        self._room = min(self._room + (now - self._last) * self._starts, self._starts)
        self._last = now
        if answered > self._answered:
            self._answered, self._heard_at = answered, now
        waits_for_nobody = now - self._heard_at > _PATIENCE
        more = (
            int(self._room)
            if waits_for_nobody
            else min(int(self._room), answered + self._unanswered - on)
        )
        self._room -= max(0, more)
        return on + max(0, more)
