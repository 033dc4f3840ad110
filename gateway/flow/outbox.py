"""Committed rows leave for the broker here, and are followed until it has them.

Rules of this file. Nothing is published before its commit, nothing while disconnected, and nothing
goes into the client library's own queue. One message of a node is under way at a time, so that
their order is kept; nodes do not wait for each other. A row is deleted when its PUBACK has come.
A message at which the broker hangs up is tried for ever, alone, and nobody waits for it (`suspects`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

from gateway.api import Node
from gateway.errors import BrokerError
from gateway.failpoint import failpoint
from gateway.flow.held import Held
from gateway.flow.suspects import Suspects
from gateway.flow.work import Ids
from gateway.protocol.signing import sign
from gateway.store import journal
from gateway.store import outbox as rows
from gateway.store.outbox import Parcel
from gateway.store.writer import Writer

log = logging.getLogger(__name__)
Publish = Callable[[str, bytes, int, bool], Awaitable[None]]
_MOST_UNDER_WAY = 512
_PAUSE = 0.25
"""Seconds after a publish that failed: a broker that refuses is not asked as fast as it can say no."""
_HUSH = 5.0
"""Seconds for which the others wait at most while one is tried alone."""


class Outbox:
    """What waits to be published, in memory; the rows are the truth."""

    def __init__(
        self, writer: Writer, ids: Ids, publish: Publish, node: Callable[[int], Node | None]
    ) -> None:
        self._finished = _Finished(writer, ids)
        self._publish = publish
        self._node = node
        self._queues: dict[int, deque[Parcel]] = {}
        self._busy: set[int] = set()
        self._turn: deque[int] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lonely: list[int] = []
        """Queues whose head is to be tried while nothing else is under way."""
        self._alone: int | None = None
        self._hush = False
        self._suspects = Suspects()
        self._held = Held()
        self._connected = False
        self.sent = 0

    @property
    def waiting(self) -> int:
        """How many are held here."""
        return len(self._held)

    @property
    def unpublishable(self) -> list[dict[str, Any]]:
        """What the broker hangs up at: topic and bytes."""
        heads = [self._queues[key][0] for key in self._queues if key < 0]
        return [{"topic": head.topic, "bytes": len(head.body)} for head in heads]

    def push(self, parcels: Iterable[Parcel]) -> None:
        """Committed parcels."""
        for parcel in parcels:
            queue = self._queues.get(parcel.node_id)
            if queue is None:
                queue = self._queues[parcel.node_id] = deque()
            queue.append(parcel)
            self._held.add(parcel)
            if parcel.node_id not in self._busy and len(queue) == 1:
                self._turn.append(parcel.node_id)
        self._go_on()

    def connected(self, is_connected: bool) -> None:
        """The link came or went."""
        self._connected = is_connected
        self._go_on()

    def forget(self, node_id: int) -> None:
        """The node and its rows were deleted."""
        for key, queue in list(self._queues.items()):
            if queue and queue[0].node_id == node_id:
                del self._queues[key]
                for parcel in queue:
                    self._held.remove(parcel)
                    self._suspects.done(parcel.id)
                queue.clear()  # also for who is in the middle of sending it

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks or (self._connected and self._turn):
            await asyncio.wait(list(self._tasks) or [asyncio.ensure_future(asyncio.sleep(0.01))])

    async def stop(self) -> None:
        """Stop sending; what is left is in the store."""
        self._connected = False
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _go_on(self) -> None:
        while (
            self._connected and self._turn and not self._hush and len(self._tasks) < _MOST_UNDER_WAY
        ):
            key = self._turn.popleft()
            if key in self._busy or not self._queues.get(key):
                continue
            if self._suspects.suspected(self._queues[key][0].id):
                if key not in self._lonely:
                    self._lonely.append(key)
            else:
                self._begin(key)
        if self._lonely and self._connected and self._alone is None:
            self._try_alone()

    def _begin(self, key: int) -> None:
        self._busy.add(key)
        task = asyncio.ensure_future(self._send_queue(key))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._go_on()  # only now: who is to be tried alone waits for the last of the others

    def _try_alone(self) -> None:
        """The first of the suspects that is due, as soon as nothing else is under way."""
        loop = asyncio.get_running_loop()
        self._lonely = [k for k in self._lonely if self._queues.get(k) and k not in self._busy]
        key = min(self._lonely, key=self._due, default=None)
        if key is None:  # whoever the others wait for is gone
            self._hush = False
            loop.call_soon(self._go_on)
            return
        if (left := self._due(key) - loop.time()) > 0:
            loop.call_later(left, self._go_on)
        elif self._tasks and not self._hush:
            self._hush = True
            loop.call_later(_HUSH, self._end_hush, key)
        elif not self._tasks:
            self._hush, self._alone = True, key
            self._lonely.remove(key)
            self._begin(key)
            loop.call_later(_HUSH, self._end_hush, key)

    def _due(self, key: int) -> float:
        return self._suspects.due(self._queues[key][0].id)

    def _end_hush(self, key: int) -> None:
        """The others have waited long enough for this one, or for those that were under way."""
        if self._hush and self._alone in (None, key):
            self._hush = False
            if queue := self._queues.get(key):
                self._suspects.postpone(queue[0].id, asyncio.get_running_loop().time())
            self._go_on()

    async def _send_queue(self, key: int) -> None:
        try:
            queue = self._queues.get(key)
            while queue and self._connected:
                parcel = queue[0]
                if not await self._send(parcel):
                    break
                self._suspects.done(parcel.id)
                if queue and queue[0] is parcel:
                    queue.popleft()
                    self._held.remove(parcel)
                if self._alone == key:
                    break  # what is behind it is under no suspicion
        finally:
            self._busy.discard(key)
            if self._alone == key:
                self._alone, self._hush = None, False
            if not self._queues.get(key):
                self._queues.pop(key, None)
            else:
                asyncio.get_running_loop().call_later(_PAUSE, self._again, key)

    def _again(self, key: int) -> None:
        self._turn.append(key)
        self._go_on()

    def _lost(self, parcel: Parcel) -> None:
        """The connection ended while this was under way."""
        alone = self._hush and self._alone is not None
        self._suspects.lost(parcel.id, asyncio.get_running_loop().time(), alone=alone)
        queue = self._queues.get(parcel.node_id)
        if self._suspects.known(parcel.id) and queue and queue[0] is parcel:
            # the node's other messages go on; this one has a queue of its own from here
            log.error(
                "the broker hangs up at a message of %d bytes to %s: perhaps it is larger than the broker "
                "takes, or the topic is forbidden; it is tried again and again, alone",
                len(parcel.body), parcel.topic,
            )  # fmt: skip
            self._queues[-parcel.id] = deque([queue.popleft()])
            self._turn.append(-parcel.id)

    async def _send(self, parcel: Parcel) -> bool:
        """True where the parcel is done with."""
        if self._held.is_replaced(parcel):
            return True
        now = time.time()
        if parcel.expires_at is not None and parcel.expires_at < now:
            self._finished.delete(parcel.id)
            return True
        if not parcel.intact():
            self._finished.bury(parcel, now)
            return True
        options = msgspec.json.decode(parcel.options)
        body = render(parcel.body, options, self._node(parcel.node_id), now)
        failpoint("outbox.sending")
        try:
            await self._publish(parcel.topic, body, options["qos"], options["retain"])
        except BrokerError as error:
            log.debug("not published to %s yet: %s", parcel.topic, error)
            if not self._connected:
                self._lost(parcel)
            return False
        failpoint("outbox.acknowledged")
        self.sent += 1
        self._finished.delete(parcel.id)
        return True


class _Finished:
    """Rows that are done with."""

    def __init__(self, writer: Writer, ids: Ids) -> None:
        self._writer = writer
        self._ids = ids
        self._gone: list[int] = []

    def bury(self, parcel: Parcel, now: float) -> None:
        """A damaged row is never sent: a dead letter; a config is asked for again by its twin, and a
        receipt by its node (rule 20)."""
        log.error("outbox row %d for %s is damaged and was not sent", parcel.id, parcel.topic)
        letter = journal.Refused(
            self._ids.refused(), now, str(parcel.topic), b"", "hash",
            f"outbox row {parcel.id} is damaged and was not sent",
        )  # fmt: skip
        self._writer.submit(lambda connection: journal.refuse(connection, [letter]))
        self.delete(parcel.id)

    def delete(self, parcel_id: int) -> None:
        """Collect ids and delete them in one operation for each turn of the loop."""
        self._gone.append(parcel_id)
        if len(self._gone) == 1:
            asyncio.get_running_loop().call_soon(self._delete_collected)

    def _delete_collected(self) -> None:
        failpoint("outbox.deleting")
        gone, self._gone = self._gone, []
        try:
            self._writer.submit(lambda connection: rows.gone(connection, gone))
        except RuntimeError:
            log.debug("%d acknowledged outbox rows are deleted after the next start", len(gone))


def render(body: bytes, options: dict[str, Any], node: Node | None, now: float) -> bytes:
    """The bytes that leave: the body with what only the moment of sending knows (rule 12)."""
    if "stamp" not in options and "sign" not in options:
        return body
    message: dict[str, Any] = msgspec.json.decode(body)
    for field in options.get("stamp", ()):
        message[field] = int(now)
    names = options.get("sign")
    key = (node.trial_secret or node.secret) if node is not None else None
    if names and key:
        prefix, *fields = names
        message["sig"] = sign(key, prefix, *(message.get(field, "") for field in fields))
    return msgspec.json.encode(message)
