"""A bench for one plugin: its hooks, a real store, a clock that stands still until it is moved.

    bench = PluginBench(tmp_path, gateway_hello, name="hello")
    bench.play("node_hello", NodeHello(hardware_id="esp32-1"))
    assert bench.node("esp32-1").lifecycle_state == "REGISTERED_BACKEND"

Hooks get the engine's real `tx`, and what they gathered is committed by the engine's real unit of
work, so what passes here passes in the gateway; there is no broker and no second plugin.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal, NamedTuple

from gateway.api import Manifest, Node, Problem
from gateway.flow.work import Effect, Ids, Unit
from gateway.hooks.tx import Gathered
from gateway.protocol.messages import Event, NodeHello, Source
from gateway.store import journal, migrations, nodes
from gateway.store.reader import Reader
from gateway.store.sqlite import open_writer

NOW = 1_780_000_000.0


class Sent(NamedTuple):
    """A message that the plugin queued."""

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
    """One plugin on a store of its own."""

    def __init__(self, folder: Path, plugin: ModuleType, *, name: str, **settings: object) -> None:
        self.now = NOW
        self._plugin = plugin
        self._db = open_writer(folder / "bench.db")
        migrations.migrate_core(self._db)
        manifest: Manifest = plugin.manifest()
        if manifest.migrations:
            place = Path(inspect.getfile(plugin)).parent / manifest.migrations
            migrations.migrate_plugin(self._db, name, place)
        self.config = manifest.config(**settings) if manifest.config is not None else None
        self.reader = Reader(folder / "bench.db")
        self.roster = nodes.Roster()
        self.roster.load(self._db)
        self.ids = Ids.load(self._db)
        self.host = BenchHost(self)
        self.sent: list[Sent] = []
        self.answer: tuple[bool, dict[str, Any]] | None = None
        self.writes = 0
        self.ask("startup", gateway=self.host)

    def ask(self, hook: str, **values: Any) -> Any:
        """Call a hook that is no event, with the arguments that it wants; None where it is missing."""
        function = getattr(self._plugin, hook, None)
        if function is None:
            return None
        values = {"config": self.config, "gateway": self.host, **values}
        wanted = {name: values[name] for name in inspect.signature(function).parameters}
        result = function(**wanted)
        return asyncio.run(_await(result)) if inspect.isawaitable(result) else result

    def play(
        self, hook: str, event: Event, topic: str = "", *, name: str = "", **source: Any
    ) -> Node:
        """One event its whole way: the hook, then one commit. Returns the node afterwards."""
        levels = topic.split("/")
        where = {"gh": levels[1], "zone": levels[2]} if len(levels) > 4 else {}
        named = name or (event.hardware_id if isinstance(event, NodeHello) else "")
        if not named and len(levels) > 4:
            named = levels[3]
        event.source = Source(
            topic=topic, name=named.lower(), received_at=self.now, observed_at=self.now,
            **{**where, **source},
        )  # fmt: skip
        found = self.roster.find(named) if named else Node(id=0, known=False)
        node = found if found is not None else self.roster.stranger(named.lower())
        tx = Gathered(self.reader, self.roster)
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
            self.roster.put(unit.node)
        self.writes = len(tx.writes) + bool(tx.node_changes)
        self.sent += [Sent(t, json.loads(body), options) for t, body, options in tx.publishes]
        self.answer = tx.result
        return unit.node


async def _await(result: Any) -> Any:
    return await result


def _fail(_plugin: str, error: Exception) -> journal.Delivery:
    raise error
