"""What is remembered of names off the wire: the last beat of each, and how much it sends.

Rules of this file. Names can be made up as fast as messages come, so memory is bounded: the oldest
entry goes. Nothing is lost with it: a beat that is heard twice is told from a new one by the plugin
too, and a bucket begins full.
"""

from __future__ import annotations

from typing import TypeVar

from gateway.protocol.messages import Event

MOST = 50_000
K = TypeVar("K")
V = TypeVar("V")


class Recent(dict[K, V]):
    """A dictionary that forgets its oldest entry when it has more than `most`."""

    def __init__(self, most: int = MOST) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        if len(self) > self._most:
            del self[next(iter(self))]


class Beats:
    """The last beat on each topic: a node's channels count for themselves."""

    def __init__(self) -> None:
        self._last: Recent[str, tuple[str, int]] = Recent()

    def is_old(self, topic: str, event: Event) -> bool:
        """True for one that was heard before (rule 9); else it is the last one from now on."""
        assert event.boot_id is not None
        assert event.seq is not None
        boot, seq = self._last.get(topic, ("", 0))
        if boot == event.boot_id and event.seq <= seq:
            return True
        self._last[topic] = (event.boot_id, event.seq)
        return False


class Buckets:
    """A bucket of two seconds' worth for each node; a rate of 0 switches it off."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._left: Recent[str, tuple[float, float]] = Recent()

    def is_flood(self, lane: str, now: float) -> bool:
        """True for a message that is more than the node's share."""
        rate = self._rate
        if rate <= 0:
            return False
        left, at = self._left.get(lane, (rate * 2, now))
        left = min(rate * 2, left + (now - at) * rate)
        flood = left < 1
        self._left[lane] = (left if flood else left - 1, now)
        return flood
