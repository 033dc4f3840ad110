"""Backlog is not life (DESIGN rule 10): a message of our own that marks the end of what waited. Pure.

After a connect to a session that the broker kept, the link publishes its barrier to itself. What
arrives before it waited while we were away. A broker that keeps the order within a session needs one
barrier; NATS serves each filter on its own, so there it is one for each, on a topic of a node that
cannot exist.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from gateway.failpoint import failpoint

_GHOST = "gw-barrier"


class Barrier:
    """Of one session."""

    def __init__(self, root: str, client_id: str, *, per_filter: bool) -> None:
        self._prefix = f"{root}/system/barrier/"
        self._client_id = client_id
        self._per_filter = per_filter
        self._pending: dict[str, bytes] = {}
        self.own: list[str] = [] if per_filter else [self._prefix + client_id]
        """Filters that must be subscribed for it."""

    @property
    def up(self) -> bool:
        """True while what arrives is backlog."""
        return bool(self._pending)

    def build(self, filters: Iterable[str]) -> None:
        """Before a connect: until we know better, everything may be old."""
        topics = self.own
        if self._per_filter:
            topics = [_inhabit(f, self._client_id) for f in filters if "+" in f or "#" in f]
        self._pending = {topic: secrets.token_hex(8).encode() for topic in topics}

    def lift(self) -> None:
        """There is no backlog, or not any more."""
        self._pending.clear()

    def letters(self) -> list[tuple[str, bytes]]:
        """What has to be published, and again if it does not come: a full queue drops it."""
        failpoint("barrier.raising")
        return list(self._pending.items())

    def swallow(self, topic: str, payload: bytes) -> bool:
        """True for a barrier message: ours, the other session's, or another gateway's.

        A wide filter brings them all. Only our own of this connection lifts the barrier.
        """
        if _GHOST not in topic and not topic.startswith(self._prefix):
            return False
        if self._pending.get(topic) == payload:
            del self._pending[topic]
            failpoint("barrier.passed")
        return True


def _inhabit(pattern: str, client_id: str) -> str:
    """A topic in this filter that no node uses: `hydro/gw-barrier/gw-barrier/<id>/heartbeat`."""
    levels = pattern.split("/")
    wild = [index for index, level in enumerate(levels) if level in ("+", "#")]
    for index in wild:
        levels[index] = _GHOST
    levels[wild[-1]] = client_id if len(wild) > 1 else f"{_GHOST}-{client_id}"
    return "/".join(levels)
