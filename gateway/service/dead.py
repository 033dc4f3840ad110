"""Dead letters: given to their plugins again, in order, or dropped.

Rules of this file. What a plugin gave up on is opened again in the store first; then it waits for its
turn in the node's lane, so that nothing of that node runs for the plugin meanwhile, and goes before
whatever comes later. What never got as far as a plugin (plugin "-": its row was damaged, or it ended
the gateway) becomes the next event of its lane.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.errors import DataError
from gateway.flow.lanes import Item, Lanes
from gateway.store import journal

if TYPE_CHECKING:
    from gateway.flow.parts import Parts
    from gateway.service.operator import Close
    from gateway.store.commands import Asked
    from gateway.store.sqlite import Connection


class DeadLetters:
    """The verbs `dead.replay` and `dead.drop`; `close` is the transaction of a command."""

    def __init__(self, parts: Parts, lanes: Lanes, close: Close) -> None:
        self._parts = parts
        self._lanes = lanes
        self._close = close

    def replay(self, asked: Asked, args: Mapping[str, Any]) -> None:
        """Give them to their plugins again."""
        where, params = _which(args)
        (total,) = self._parts.reader.tuples(
            f"SELECT count(*) FROM delivery WHERE state = 'dead' AND {where}", *params
        )[0]

        found: list[journal.Replayed] = []

        def write(connection: Connection) -> journal.Replayed:
            # run again after a commit of unknown outcome, there may be nothing dead any more
            found.append(journal.replay(connection, where, params))
            return max(found, key=lambda one: len(one.deliveries) + len(one.rows))

        self._close(asked, (True, {"replayed": total}), write, self._open)

    def _open(self, replayed: journal.Replayed) -> None:
        for lane, plugin in replayed.deliveries:
            self._lanes.turn(lane, partial(self._parts.retries.open, plugin=plugin))
        for row in reversed(replayed.rows):
            self._lanes.push_ahead(Item(row))

    def drop(self, asked: Asked, args: Mapping[str, Any]) -> None:
        """Remove them for good."""
        doomed: list[tuple[str, tuple[Any, ...]]] = []
        if args.get("refused") is not None:
            doomed.append(("refused WHERE id = ?", (int(args["refused"]),)))
        else:
            where, params = _which(args)
            doomed.append((f"delivery WHERE state = 'dead' AND {where}", params))
            if args.get("all"):
                doomed.append(("refused", ()))

        def write(connection: Connection) -> None:
            for rows, params in doomed:
                connection.execute(f"DELETE FROM {rows}", params)

        count = sum(
            self._parts.reader.tuples(f"SELECT count(*) FROM {rows}", *params)[0][0]
            for rows, params in doomed
        )
        self._close(asked, (True, {"dropped": count}), write)


def _which(args: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
    """A condition over dead deliveries from what the operator named."""
    if args.get("id") is not None:
        return "journal_id = ?", (int(args["id"]),)
    if args.get("plugin"):
        return "plugin = ?", (str(args["plugin"]),)
    if args.get("all"):
        return "1 = 1", ()
    raise DataError("say which: an id, --plugin NAME or --all")
