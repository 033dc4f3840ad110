"""Which committed parcels the outbox holds in memory, and which of them a newer one has replaced.

Rules of this file. Pure. That one is replaced is found out here and not told by the commit: one that
was taken again (rule 19) has found the older rows gone already.
"""

from __future__ import annotations

from gateway.store.outbox import Parcel


class Held:
    """By the ids of outbox rows."""

    def __init__(self) -> None:
        self._ids: set[int] = set()
        self._newest: dict[str, int] = {}
        self._replaced: set[int] = set()

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, parcel: Parcel) -> None:
        """It is committed; an older one with its replace key is not wanted any more."""
        self._ids.add(parcel.id)
        if parcel.replace_key is not None:
            older = self._newest.get(parcel.replace_key, parcel.id)
            if older < parcel.id:
                self._replaced.add(older)
            self._newest[parcel.replace_key] = max(older, parcel.id)

    def remove(self, parcel: Parcel) -> None:
        """It has left, or nobody wants it any more: nothing of it stays."""
        self._ids.discard(parcel.id)
        self._replaced.discard(parcel.id)
        if parcel.replace_key is not None and self._newest.get(parcel.replace_key) == parcel.id:
            del self._newest[parcel.replace_key]

    def is_replaced(self, parcel: Parcel) -> bool:
        """True where its row is gone, because a newer one has taken its place."""
        return parcel.id in self._replaced

    @property
    def empty(self) -> bool:
        """True where nothing at all is kept."""
        return not (self._ids or self._newest or self._replaced)
