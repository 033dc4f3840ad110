"""The ledger: what each node was told, against what the store says afterwards.

    ledger = Ledger()
    talker = Talker(broker.port, "nd-1", ledger)
    talker.say("tally", n=1)                       # sent, and acknowledged when the PUBACK is there
    ledger.settle("tally", stored=..., effects=...)
    assert not ledger.lost("tally"), ledger.table()

Lost is what was acknowledged or receipted and has no effect; double is what has more than one. Who
acknowledged matters: a broker that forgets has acknowledged too, and what it forgot is counted here
by name, never left out.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from gateway.testing.process import leave, until

Key: TypeAlias = tuple[Any, ...]
"""Names one message: (node, boot, number) where it has these."""
COLUMNS = ("sent", "acknowledged", "receipted", "in the store", "effects", "doubles", "lost")


@dataclass
class Account:
    """One kind of message; a key names one message."""

    sent: set[Key] = field(default_factory=set)
    acknowledged: set[Key] = field(default_factory=set)
    receipted: set[Key] = field(default_factory=set)
    stored: set[Key] = field(default_factory=set)
    effects: Counter[Key] = field(default_factory=Counter)
    why: str = ""
    """Why something of it may be lost, where that is so."""

    @property
    def lost(self) -> set[Key]:
        """Promised to somebody, and without an effect."""
        return {key for key in self.acknowledged | self.receipted if not self.effects[key]}

    @property
    def doubles(self) -> set[Key]:
        """Done more than once."""
        return {key for key, count in self.effects.items() if count > 1}

    def figures(self) -> tuple[int, ...]:
        """In the order of `COLUMNS`."""
        sets = (self.sent, self.acknowledged, self.receipted, self.stored)
        return (*map(len, sets), len(self.effects), len(self.doubles), len(self.lost))


class Ledger:
    """Accounts by kind; safe from any thread."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self._lock = threading.Lock()

    def note(self, kind: str, column: str, key: Key) -> None:
        """`sent`, `acknowledged` or `receipted`: this message was."""
        with self._lock:
            account = self.accounts.setdefault(kind, Account())
            getattr(account, column).add(key)

    def settle(
        self, kind: str, *, stored: Iterable[Key], effects: Iterable[Key], why: str = ""
    ) -> None:
        """What the store says in the end."""
        with self._lock:
            account = self.accounts.setdefault(kind, Account())
            account.stored, account.effects = set(stored), Counter(effects)
            account.why = why

    def add(self, other: Ledger, prefix: str = "") -> None:
        """Join another ledger, its keys made different by `prefix`."""
        for kind, found in other.accounts.items():
            mine = self.accounts.setdefault(kind, Account())
            for name in ("sent", "acknowledged", "receipted", "stored"):
                getattr(mine, name).update((prefix, key) for key in getattr(found, name))
            mine.effects.update({(prefix, key): count for key, count in found.effects.items()})
            mine.why = mine.why or found.why

    def lost(self, kind: str) -> set[Key]:
        """The keys of what was lost."""
        return self.accounts[kind].lost

    def doubles(self, kind: str) -> set[Key]:
        """The keys of what was done twice."""
        return self.accounts[kind].doubles

    def rows(self) -> list[tuple[str, ...]]:
        """The table as cells: the kind, the figures, and why something may be lost."""
        return [
            (kind, *(f"{figure:,}" for figure in account.figures()), account.why)
            for kind, account in self.accounts.items()
        ]

    def table(self, title: str = "") -> str:
        """The table as Markdown."""
        head = (title or "message", *COLUMNS, "")
        lines = [head, ("---",) * len(head), *self.rows()]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


class Talker:
    """A node that numbers what it says, says it until it is acknowledged, and keeps the ledger.

    It is there whatever becomes of the broker: it comes back by itself, and says again what was not
    acknowledged, with the same number. With `numbered` False it is a foreign node. `answers` are the
    kinds that it listens for, besides its receipt.
    """

    def __init__(
        self,
        port: int,
        name: str,
        ledger: Ledger,
        *,
        root: str = "hydro",
        numbered: bool = True,
        answers: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.boot_id = secrets.token_hex(4)
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._topic = f"{root}/gh-1/zn-1/{name}"
        self._root = root
        self._ledger = ledger
        self.numbered = numbered
        self._seq = 0
        self._answers = [(f"{self._topic}/{kind}", 1) for kind in answers]
        self._answers.append((f"{root}/+/+/{name}/hello_ack", 1))
        self._said: dict[int, tuple[str, Key]] = {}
        self._done: deque[int] = deque()
        # never clean: what is published to it while it is away waits for it
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{root}-{name}".replace("/", "-"),
            clean_session=False,
        )
        client.reconnect_delay_set(1, 1)
        # the callback comes while paho holds its lock, perhaps before `publish` has returned
        client.on_publish = lambda _c, _d, mid, *_: self._done.append(mid)
        client.on_message = self._hear
        client.on_connect = self._subscribe
        client.connect("127.0.0.1", port, 20)
        client.loop_start()
        until(client.is_connected, 20, f"{name} is connected")

    def say(self, kind: str, **fields: Any) -> Key:
        """One message on a topic of this node, with a number `n`; its key."""
        self._seq += 1
        fields = {"n": self._seq, **fields}
        if self.numbered:
            fields |= {"boot_id": self.boot_id, "seq": self._seq}
        account = kind if self.numbered else f"{kind}, no numbers"
        return self._send(account, f"{self._topic}/{kind}", fields, self._key(self._seq))

    def hello(self, **fields: Any) -> Key:
        """Say who it is; the receipt is noted when it comes."""
        self._seq += 1
        message: dict[str, Any] = {
            "message_type": "node_hello",
            "hardware_id": self.name,
            "node_type": "climate",
        }
        message |= {"boot_id": self.boot_id, "seq": self._seq, **fields}
        return self._send(
            "node_hello", f"{self._root}/node_hello", message, (self.name, self.boot_id)
        )

    @property
    def receipted(self) -> bool:
        """True where a receipt for this boot has come."""
        return any(kind == "hello_ack" for kind, _ in self.heard)

    def heard_keys(self, kind: str) -> list[Key]:
        """The keys of the messages whose answers of this kind it has heard, as often as it has."""
        return [self._key(body["n"]) for known, body in self.heard if known == kind]

    def junk(self) -> None:
        """Something that must be refused."""
        self._client.publish(f"{self._topic}/heartbeat", b"{junk", qos=1)

    @property
    def quiet(self) -> bool:
        """True where everything that was said is acknowledged; what is, is noted."""
        while self._done:
            found = self._said.pop(self._done.popleft(), None)
            if found is not None:
                self._ledger.note(found[0], "acknowledged", found[1])
        return not self._said

    def _key(self, number: int) -> Key:
        return (self.name, self.boot_id, number) if self.numbered else (self.name, number)

    def _send(self, kind: str, topic: str, message: dict[str, Any], key: Key) -> Key:
        self._ledger.note(kind, "sent", key)
        info = self._client.publish(topic, json.dumps(message), qos=1)
        self._said[info.mid] = (kind, key)
        return key

    def _subscribe(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(self._answers)

    def _hear(self, _client: Any, _data: Any, message: Any) -> None:
        kind, body = message.topic.rpartition("/")[2], json.loads(message.payload)
        if kind == "hello_ack" and body.get("boot_id") != self.boot_id:
            return  # for an earlier boot
        self.heard.append((kind, body))
        if kind == "hello_ack":
            self._ledger.note("node_hello", "receipted", (self.name, self.boot_id))

    def close(self) -> None:
        """Disconnect."""
        leave(self._client)
