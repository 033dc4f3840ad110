"""One node under the config plugin alone, on a real SQLite file, and a board that answers by B5."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import gateway_config
import msgspec
from gateway_config import sending
from gateway_config.asked import ConfigPush, Settings

from gateway import ConfigReported, Event, Node, NodeChange, NodeHello, Problem, Wake, sign, signed
from gateway.flow.work import Effect, Ids, Unit
from gateway.hooks.tx import Gathered
from gateway.protocol.messages import Source
from gateway.store import migrations, nodes
from gateway.store.reader import Reader
from gateway.store.sqlite import open_writer

HW, UID = "esp32-0f3a", "nd-ph-0f3a"
NOW = 1_780_000_000.0
REGISTERED = {
    "id": 1,
    "uid": UID,
    "hardware_id": HW,
    "type": "ph",
    "protocol": 1,
    "lifecycle_state": "REGISTERED_BACKEND",
    "created_at": NOW,
}
TOPIC = f"hydro/gh-temp/zn-temp/{HW}/config"
FOLDER = Path(gateway_config.__file__).parent / "migrations"


class Sent(msgspec.Struct, frozen=True):
    """A message that the plugin queued."""

    topic: str
    payload: dict[str, Any]
    options: dict[str, Any]


class House:
    """The running gateway, as the plugin sees it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.root, self.claim_key, self.connected = "hydro", "", True
        self.registration: Literal["open", "approve", "claim"] = "open"
        self.objections: list[Problem] = []

    def observed(self) -> float:
        """The observed clock."""
        return self.bench.now

    def node(self, key: int | str) -> Node | None:
        """The one node, by any of its names."""
        node = self.bench.node
        return node if key in (node.id, node.uid, node.hardware_id) else None

    def nodes(self) -> list[Node]:
        """The one node."""
        return [self.bench.node]

    def read(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        """Committed rows."""
        return self.bench.read(sql, *params)

    async def problems(self, _document: Mapping[str, Any], _node: Node) -> list[Problem]:
        """What other plugins have against a document."""
        return self.objections


class Bench:
    """A gateway that consists of this plugin, one node and a clock that stands still."""

    def __init__(self, folder: Path, **node: Any) -> None:
        self.db = open_writer(folder / "gateway.db", "OFF")
        migrations.migrate_core(self.db)
        migrations.migrate_plugin(self.db, "config", FOLDER)
        self.reader = Reader(folder / "gateway.db")
        self.ids = Ids.load(self.db)
        self.now = NOW
        self.sent: list[Sent] = []
        self.cleared: list[str] = []
        self.changes: list[dict[str, Any]] = []
        self.settings = Settings()
        self.host = House(self)
        self.node = Node(**{**REGISTERED, **node})
        if self.node.known:
            self.register(**node)

    def register(self, **node: Any) -> None:
        """The registry takes the node in."""
        self.node = Node(**{**REGISTERED, **node})
        nodes.write(self.db, msgspec.structs.replace(self.node, known=False), self.node)

    # -- driving it --------------------------------------------------------------------------

    def run(self, awaitable: Any) -> None:
        """Run a hook that never really waits."""
        asyncio.run(awaitable)

    def deliver(self, hook: Any, event: Event, **source: Any) -> tuple[bool, dict[str, Any]] | None:
        """One event through one hook and one commit; returns the answer of a command."""
        given = {"received_at": self.now, "observed_at": self.now, **source}
        event.source = Source(**given)
        tx = Gathered(self.reader, nodes.Roster(), self.host)
        given = {"event": event, "change": event, "node": self.node, "tx": tx}
        given["config"] = self.settings
        self.run(hook(**{name: given[name] for name in inspect.signature(hook).parameters}))
        unit = Unit(None, 0, nodes.lane_of(self.node), self.node)
        unit.effects = [Effect("config", tx, self.node.id, self.ids, self.now)]
        self.db.execute("BEGIN")
        unit.apply(self.db, self.now)
        self.db.execute("COMMIT")
        assert unit.failed == []
        self.node = unit.node
        self.changes.append(tx.node_changes)
        self.cleared += [topic for topic, body, _ in tx.publishes if not body]
        self.sent += [
            Sent(topic, json.loads(body), more) for topic, body, more in tx.publishes if body
        ]
        return tx.result

    def ask(self, command: Event) -> dict[str, Any]:
        """An operator's command that must succeed."""
        done = self.deliver(gateway_config.node_message, command)
        assert done is not None
        assert done[0], done[1]
        return done[1]

    def refused(self, command: Event) -> dict[str, str]:
        """An operator's command that must fail: path -> message. Nothing may have been queued."""
        before = len(self.sent), self.read("SELECT * FROM config_desired")
        done = self.deliver(gateway_config.node_message, command)
        assert done is not None
        assert not done[0]
        assert (len(self.sent), self.read("SELECT * FROM config_desired")) == before
        return {p["path"]: p["message"] for p in done[1]["problems"]}

    def hello(self, protocol: int = 1, *, retained: bool = False, **fields: Any) -> None:
        """The node says hello."""
        event = NodeHello(**{"hardware_id": HW, "protocol": protocol, **fields})
        where = {"topic": "hydro/node_hello", "retained": retained}
        self.deliver(gateway_config.node_hello, event, **where)

    def report(
        self,
        gh: str = "gh-temp",
        zone: str = "zn-temp",
        *,
        retained: bool = False,
        name: str = "",
        **payload: Any,
    ) -> None:
        """The node publishes a config_report."""
        name = name or (HW if gh == "gh-temp" else UID)
        body = json.dumps(payload).encode()
        event = msgspec.json.decode(body, type=ConfigReported)
        topic = f"hydro/{gh}/{zone}/{name}/config_report"
        more = {"gh": gh, "zone": zone, "name": name.lower(), "payload": body, "retained": retained}
        more["topic"] = topic
        self.deliver(gateway_config.config_reported, event, **more)

    def changed(self, field: str, before: str | None, after: str) -> None:
        """The second round of a change."""
        change = NodeChange(field=field, before=before, after=after)
        self.deliver(gateway_config.node_changed, change)

    def wait(self, seconds: float) -> None:
        """Time passes and the timers look."""
        self.now += seconds
        self.deliver(gateway_config.node_message, Wake(job="resend"))

    # -- looking -----------------------------------------------------------------------------

    def read(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        """Committed rows."""
        return self.reader.tuples(sql, *params)

    def row(self, table: str, what: str = "*", where: str = "1 = 1") -> dict[str, Any]:
        """The first row of a table."""
        found = self.reader.rows(f"SELECT {what} FROM {table} WHERE {where}")
        return found[0] if found else {}

    @property
    def state(self) -> str:
        """`v2 verified`, or nothing."""
        row = self.row("config_desired", "revision, state")
        return f"v{row['revision']} {row['state']}" if row else ""

    def history(self) -> dict[int, str]:
        """revision -> state."""
        return dict(self.read("SELECT revision, state FROM config_revisions ORDER BY revision"))

    def close(self) -> None:
        """Let go of the files."""
        self.reader.close()
        self.db.close()


class Board:
    """A node that speaks our protocol: it takes envelopes and signs what it says."""

    def __init__(self, *, secret: str = "", claim_key: str = "", revision: int = 0) -> None:
        self.secret, self.claim_key = secret, claim_key
        self.revision, self.sha256 = revision, "0" * 64 if revision else ""
        self.document: dict[str, Any] = {}
        self.trial: tuple[int, str, dict[str, Any]] | None = None
        self.boot = 1
        self.count = itertools.count(1)

    def reboot(self) -> None:
        """A new boot."""
        self.boot += 1
        self.count = itertools.count(1)

    def shown(self) -> tuple[int, str]:
        """The revision and hash of its hello: during a trial those on trial."""
        return (self.trial[0], self.trial[1]) if self.trial else (self.revision, self.sha256)

    def key(self) -> str:
        """The secret that it signs with: during a trial the new one."""
        return str(self.trial[2]["node_secret"]) if self.trial else self.secret

    def signature(self, kind: str, seq: int, pair: tuple[int, str], key: str) -> dict[str, Any]:
        """The fields that every signed message has."""
        boot = f"{self.boot:08x}"
        sig = sign(key, kind, HW, boot, seq, *pair) if key else None
        return {"boot_id": boot, "seq": seq, "sig": sig}

    def hello(self) -> dict[str, Any]:
        """The fields of its hello."""
        pair = self.shown()
        more = self.signature("node_hello", next(self.count), pair, self.key())
        return {"config_revision": pair[0], "config_sha256": pair[1], **more}

    def report(self, state: str, **more: Any) -> dict[str, Any]:
        """The payload of a report about what it runs or tries."""
        pair = self.shown()
        return self.about(pair, state, self.key(), **more)

    def about(self, pair: tuple[int, str], state: str, key: str, **more: Any) -> dict[str, Any]:
        """The payload of a report about any revision."""
        signed_fields = self.signature("config_report", next(self.count), pair, key)
        return {"revision": pair[0], "sha256": pair[1], "state": state, **signed_fields, **more}

    def take(self, made: Mapping[str, Any]) -> str:
        """Try an envelope: `applied`, or the word of the refusal."""
        document = json.loads(made["doc"])
        if sending.sha256_of(made["doc"]) != made["sha256"]:
            return "hash"
        inside = None if self.claim_key else document["node_secret"]
        key = {"secret": self.key(), "claim": self.claim_key, "open": inside}[made["key"]]
        if not signed(made["sig"], key, "config", HW, made["revision"], made["sha256"]):
            return "signature"
        if made["revision"] <= self.shown()[0]:
            return "revision"
        self.trial = (made["revision"], made["sha256"], document)
        return "applied"

    def prove(self) -> None:
        """The trial ends well."""
        assert self.trial is not None
        self.revision, self.sha256, self.document = self.trial
        self.secret, self.trial = self.document["node_secret"], None

    def roll_back(self) -> dict[str, Any]:
        """The trial ends badly; returns the payload of the report."""
        assert self.trial is not None
        pair, self.trial = self.shown(), None
        return self.about(pair, "rolled_back", self.secret, reason="broker not reached")


def push(bench: Bench, document: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Push, and return the envelope or document that left."""
    bench.ask(ConfigPush(document=document, **more))
    return bench.sent[-1].payload


def prove(bench: Bench, board: Board, **more: Any) -> None:
    """The board takes the last envelope, tries it and proves it."""
    assert board.take(bench.sent[-1].payload) == "applied"
    board.prove()
    bench.report(**board.report("verified"), **more)
