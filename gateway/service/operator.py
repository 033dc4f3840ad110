"""What the operator asks for: commands of plugins go into the node's lane, the core's own are done here.

A command is a journal row under a key made from its id (rule 17), and its answer stands in that row,
so that asking twice does it once and the answer survives a restart.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from gateway.api import Node
from gateway.errors import DataError
from gateway.failpoint import failpoint
from gateway.flow.lanes import Item, Lanes
from gateway.flow.work import Effect
from gateway.hooks.tx import Gathered, answer_text
from gateway.protocol.topics import TEMP_GH, TEMP_ZONE, Topics
from gateway.service.dead import DeadLetters
from gateway.store import journal, nodes, outbox
from gateway.store.commands import Asked, dedupe_key
from gateway.store.sqlite import Connection

if TYPE_CHECKING:
    from gateway.flow.intake import Intake
    from gateway.flow.parts import Parts

log = logging.getLogger(__name__)
Done = tuple[bool, dict[str, Any]]


class Close(Protocol):
    """One transaction: the command's row, its answer, and what it does."""

    def __call__(
        self,
        asked: Asked,
        done: Done,
        effect: Callable[[Connection], Any] = ...,
        after: Callable[[Any], None] = ...,
    ) -> None: ...


class Operator:
    """Takes commands from the watch on `commands.db`."""

    def __init__(self, parts: Parts, lanes: Lanes, intake: Intake) -> None:
        self._parts = parts
        self._intake = intake
        dead = DeadLetters(parts, lanes, self._close)
        self.facts: Callable[[], dict[str, Any]] = dict
        self._verbs: dict[str, Callable[[Asked, dict[str, Any]], Any]] = {
            "status": self._status,
            "publish": self._publish,
            "nodes.forget": self._forget,
            "dead.replay": dead.replay,
            "dead.drop": dead.drop,
            "plugins.reset": self._reset,
        }

    def take(self, asked: Asked) -> None:
        """One command, new or seen before."""
        failpoint("command.taken")
        try:
            args = msgspec.json.decode(asked.args or "{}")
        except ValueError:
            args = None
        if not isinstance(args, dict):
            self._close(asked, (False, {"error": "the arguments are no JSON object"}))
            return
        verb = self._verbs.get(asked.verb)
        if verb is None:
            self._intake.put(Item(self._row(asked)))
            return
        try:
            verb(asked, args)
        except (DataError, KeyError, TypeError, ValueError) as error:
            self._close(asked, (False, {"error": str(error)}))

    def _row(self, asked: Asked) -> journal.Row:
        lane = self._parts.roster.lane(asked.node) if asked.node else "$operator"
        topic, payload = f"$command/{asked.node}", asked.args.encode()
        return journal.Row(
            self._parts.ids.journal(), time.time(), self._parts.observed(), "host", "command",
            asked.verb, lane, topic, payload, journal.checksum(topic, payload),
            dedupe=dedupe_key(asked.id),
        )  # fmt: skip

    def _close(
        self,
        asked: Asked,
        done: Done,
        effect: Callable[[Connection], Any] = lambda _c: None,
        after: Callable[[Any], None] = lambda _result: None,
    ) -> None:
        """One transaction: the command's row, its answer, and what it does."""
        row = self._row(asked)
        answer = answer_text(*done)

        def write(connection: Connection) -> tuple[bool, Any]:
            if journal.add(connection, [row]):
                return False, None  # done before
            result = effect(connection)
            connection.execute(
                "UPDATE journal SET state = 1, answer = ? WHERE id = ?", (answer, row.id)
            )
            return True, result

        def written(future: Any) -> None:
            failpoint("command.written")
            is_new, result = future.result()
            if is_new:
                after(result)

        self._parts.writer.submit(write).add_done_callback(written)

    # -- the core's verbs --------------------------------------------------------------------

    def _status(self, asked: Asked, _args: Mapping[str, Any]) -> None:
        self._close(asked, (True, self.facts()))

    def _publish(self, asked: Asked, args: Mapping[str, Any]) -> None:
        tx = Gathered(self._parts.reader, self._parts.roster)
        tx.publish_json(args["topic"], args["payload"], retain=bool(args.get("retain", False)))
        effect = Effect("operator", tx, 0, self._parts.ids, time.time())
        self._close(
            asked,
            (True, {"topic": args["topic"]}),
            lambda connection: outbox.put(connection, effect.parcels),
            lambda _: self._parts.outbox.push(effect.parcels),
        )

    def _forget(self, asked: Asked, _args: Mapping[str, Any]) -> None:
        node = self._parts.roster.find(asked.node)
        if node is None:
            raise DataError(f"there is no node {asked.node!r}")

        cleared = self._clearing(node)

        def write(connection: Connection) -> None:
            nodes.delete(connection, node.id)
            outbox.put(connection, cleared)

        def after(_result: Any) -> None:
            self._parts.roster.forget(node.id)
            self._parts.outbox.forget(node.id)
            self._parts.outbox.push(cleared)

        result = {"uid": node.uid, "hardware_id": node.hardware_id}
        self._close(asked, (True, result), write, after)

    def _clearing(self, node: Node) -> list[outbox.Parcel]:
        """Empty retained messages: a forgotten node's status and will must not come back."""
        topics = Topics(self._parts.root)
        places = [(TEMP_GH, TEMP_ZONE, node.hardware_id or "")]
        if node.bound:
            places.append((node.gh, node.zone, node.uid))
        return [
            outbox.Parcel(
                self._parts.ids.outbox(), 0, topic, b"", '{"qos":1,"retain":true}', None, None, 0,
                journal.checksum(topic, b""),
            )
            for gh, zone, name in places
            if name
            for topic in (topics.of(gh, zone, name, kind) for kind in ("status", "lwt"))
        ]  # fmt: skip

    def _reset(self, asked: Asked, args: Mapping[str, Any]) -> None:
        name = str(args.get("plugin", ""))
        if self._parts.plugin(name) is None:
            raise DataError(f"there is no plugin {name!r}")
        self._parts.retries.breakers.reset(name)
        self._close(asked, (True, {"plugin": name}))
