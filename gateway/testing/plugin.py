"""A bench for one plugin: its hooks, a real store, a clock that stands still until it is moved.

    with PluginBench(tmp_path, gateway_door_sensor) as bench:
        bench.registered("nd-1", gh="gh-1", zone="zn-1")
        bench.say("hydro/gh-1/zn-1/nd-1/door", {"door": "open"})
        assert bench.read("SELECT count(*) FROM door_sensor_openings") == [(1,)]

The plugin is admitted as the gateway admits it, payloads are decoded as the gateway decodes them,
hooks get the engine's real `tx`, and what they gathered is committed by the engine's real unit of
work, so what passes here passes in the gateway; there is no broker and no second plugin.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal, NamedTuple, Self

from gateway.api import Node, Problem
from gateway.errors import Refusal
from gateway.flow.work import Effect, Ids, Unit
from gateway.hooks.tx import Gathered
from gateway.host.admit import HOOK_EVENTS, load
from gateway.host.contract import Hooks
from gateway.host.discover import Candidate
from gateway.protocol.codec import decode
from gateway.protocol.messages import Event, NodeHello, Source
from gateway.protocol.topics import parse
from gateway.store import journal, migrations, nodes
from gateway.store.reader import Reader
from gateway.store.sqlite import open_writer

NOW = 1_780_000_000.0


class Sent(NamedTuple):
    """A message that the plugin queued; {} for one that clears what is retained."""

    topic: str
    payload: dict[str, Any]
    options: dict[str, Any]


class BenchHost:
    """The running gateway, as the plugin sees it; set its attributes to change the world."""

    def __init__(self, bench: PluginBench) -> None:
        self._bench = bench
        self.root, self.claim_key, self.connected = "hydro", "", True
        self.registration: Literal["open", "approve", "claim"] = "open"

    def observed(self) -> float:
        """The observed clock."""
        return self._bench.now

    def node(self, key: int | str) -> Node | None:
        """A node by id or name."""
        roster = self._bench.roster
        return roster.get(key) if isinstance(key, int) else roster.find(key)

    def nodes(self) -> list[Node]:
        """All nodes."""
        return self._bench.roster.all()

    def read(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        """Committed rows."""
        return self._bench.read(sql, *params)

    async def problems(self, _document: Mapping[str, Any], _node: Node) -> list[Problem]:
        """Nobody else has anything against a document here."""
        return []


class PluginBench:
    """One plugin on a store of its own; `settings` are those of its section.

    Raises AssertionError with the gateway's own words where the gateway would not load the plugin.
    """

    def __init__(
        self, folder: Path, plugin: ModuleType, *, name: str = "", **settings: object
    ) -> None:
        self.now = NOW
        name = name or plugin.__name__.rpartition(".")[2].removeprefix("gateway_")
        self.plugin = load(Candidate(name, "the bench", "", name, lambda: plugin), Hooks())
        assert self.plugin.state == "ready", f"the gateway would not load it: {self.plugin.error}"
        self._db = open_writer(folder / "bench.db")
        migrations.migrate_core(self._db)
        if self.plugin.migrations is not None:
            migrations.migrate_plugin(self._db, name, self.plugin.migrations)
        config = self.plugin.manifest.config
        self.config = config(**settings) if config is not None else None
        self.reader = Reader(folder / "bench.db")
        self.roster = nodes.Roster()
        self.roster.load(self._db)
        self.ids = Ids.load(self._db)
        self.host = BenchHost(self)
        self.sent: list[Sent] = []
        self.answer: tuple[bool, dict[str, Any]] | None = None
        self.writes = 0
        self.ask("startup")

    def registered(self, uid: str, **fields: Any) -> Node:
        """A node that the registry has, with these fields; one that is there already is changed."""
        node = self.roster.find(uid) or self.roster.stranger(uid)
        wanted = fields if node.known else {"lifecycle_state": "REGISTERED_BACKEND", **fields}
        after = nodes.patched(node, wanted, self.now)
        nodes.write(self._db, node, after)
        self.roster.put(node, after)
        return after

    def say(self, topic: str, payload: Mapping[str, Any] | bytes, **source: Any) -> Node:
        """A message from the broker its whole way: what it says about its node, the node afterwards.

        Raises Refusal with the word of the wire where the gateway would refuse it, and
        AssertionError where the plugin does not ask for this kind.
        """
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        parsed = parse(topic, self.host.root)
        hook = next(
            (h for h, cls in HOOK_EVENTS.items() if cls.kind == parsed.kind), "node_message"
        )
        cls = HOOK_EVENTS.get(hook) or self.plugin.messages.get(parsed.kind)
        assert cls is not None, f"the manifest lists no message of kind {parsed.kind!r}"
        event = decode(cls, body)
        return self.play(hook, event, topic, payload=body, channel=parsed.channel, **source)

    def ask(self, hook: str, **values: Any) -> Any:
        """Call a hook that is no event, with the arguments that it wants; None where it is missing."""
        bound = self.plugin.hooks.get(hook)
        if bound is None:
            return None
        result = bound.ask(**{"config": self.config, "gateway": self.host, **values})
        return asyncio.run(_await(result)) if inspect.isawaitable(result) else result

    def play(
        self, hook: str, event: Event, topic: str = "", *, name: str = "", **source: Any
    ) -> Node:
        """One event its whole way: the hook, then one commit. Returns the node afterwards."""
        where: dict[str, Any] = {}
        named = name or (event.hardware_id if isinstance(event, NodeHello) else "")
        try:
            parsed = parse(topic, self.host.root)
        except Refusal:
            pass  # an event without a topic: a command, a wake-up, a change
        else:
            where = {"gh": parsed.gh, "zone": parsed.zone}
            named = named or parsed.name
        event.source = Source(
            topic=topic, name=named.lower(), received_at=self.now, observed_at=self.now,
            **{"journal_id": self.ids.journal(), **where, **source},
        )  # fmt: skip
        found = self.roster.find(named) if named else Node(id=0, known=False)
        node = found if found is not None else self.roster.stranger(named.lower())
        tx = Gathered(self.reader, self.roster, self.host)
        values = {"event": event, "change": event, "node": node, "tx": tx}
        self.ask(hook, **values)
        tx.close()
        return self._commit(node, tx)

    def node(self, name: str) -> Node:
        """A node by any of its names; AssertionError where there is none."""
        found = self.roster.find(name)
        assert found is not None, f"there is no node {name!r}"
        return found

    def read(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        """Committed rows."""
        return self._db.execute(sql, params).fetchall()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_what: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store."""
        self.ask("shutdown")
        self.reader.close()
        self._db.close()

    def _commit(self, node: Node, tx: Gathered) -> Node:
        uid = tx.node_changes.get("uid")
        held = self.roster.find(uid) if isinstance(uid, str) and not node.known else None
        before = held if held is not None and held.hardware_id is None else node
        number = self.ids.journal()
        row = journal.Row(
            number, self.now, self.now, "control", "journal", "x", "x", "x", b"",
            journal.checksum("x", b""),
        )  # fmt: skip
        journal.add(self._db, [row])
        unit = Unit(SimpleNamespace(row=row), number, nodes.lane_of(before), before)
        unit.effects = [Effect("bench", tx, before.id, self.ids, self.now)]
        unit.fail_row = _fail
        self._db.execute("BEGIN")
        unit.apply(self._db, self.now)
        self._db.execute("COMMIT")
        if unit.node is not before:
            self.roster.put(before, unit.node)
        self.writes = len(tx.writes) + bool(tx.node_changes)
        self.sent += [
            Sent(t, json.loads(body or b"{}"), options) for t, body, options in tx.publishes
        ]
        self.answer = tx.result
        return unit.node


async def _await(result: Any) -> Any:
    return await result


def _fail(_plugin: str, error: Exception) -> journal.Delivery:
    raise error
