"""The pure parts alone, for years: the firmware's thinking, liveness, registry, twin, barrier, clocks.

Rules of this file. No loop, no store, no thread: a heap of what is due. `Desk` is a gateway that holds
its registry in dictionaries and asks the real thinking files what to do; what they decide is carried
out at once. What really is, is known here, so every state can be compared with the truth.
"""

from __future__ import annotations

import heapq
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from gateway_config import twin as twins
from gateway_config.sending import envelope, secret_in, sha256_of
from gateway_config.twin import Said, Send, Twin
from gateway_heartbeat.liveness import (
    Beat,
    Grace,
    Pulse,
    beat,
    declares,
    late_after,
    offline_after,
    passed,
    proof,
    will,
)
from gateway_hello.registry import Facts, admit, uids

from gateway import sign, signed
from gateway.mqtt.barrier import Barrier
from gateway.mqtt.clock import ObservedClock
from tests.sim.board import Board, Told
from tests.sim.clock import EPOCH
from tests.sim.network import Broker, Letter, Wire

GRACE = Grace()
FILTERS = [f"hydro/+/+/+/{kind}" for kind in ("heartbeat", "status", "lwt", "config_report")]
_HELLO = "hydro/node_hello"
_SWEEP = 1.0
"""How often the real gateway looks for deadlines."""
_PING = 5.0
LAG = _SWEEP + _PING + 1.0
"""What a look at deadlines each second, on a clock that runs from ping to ping, may add to a state."""
_STEP = 10.0
_TRANSIT = 5.0
_SETTLED = 30.0
"""Seconds after which a board that is there and shown offline is a lie."""


class _Handle:
    """Something that is due, unless it is cancelled."""

    __slots__ = ("args", "function")

    def __init__(self, function: Callable[..., Any] | None, args: tuple[Any, ...]) -> None:
        self.function, self.args = function, args

    def cancel(self) -> None:
        """Not any more."""
        self.function = None


class Heap:
    """As much of an event loop as boards and brokers want."""

    def __init__(self) -> None:
        self._now = 0.0
        self._due: list[tuple[float, int, _Handle]] = []
        self._count = 0

    def time(self) -> float:
        """Seconds."""
        return self._now

    def call_at(self, when: float, function: Callable[..., Any], *args: Any) -> _Handle:
        """Later."""
        self._count += 1
        handle = _Handle(function, args)
        heapq.heappush(self._due, (when, self._count, handle))
        return handle

    call_world = call_at

    def run(self, until: float) -> None:
        """Let time pass."""
        due = self._due
        while due and due[0][0] <= until:
            when, _, handle = heapq.heappop(due)
            if handle.function is not None:
                self._now = max(self._now, when)
                handle.function(*handle.args)
        self._now = until


class Record:
    """What the desk knows of one node, and what is true of it."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.uid = ""
        self.pulse = Pulse()
        self.twin = Twin()
        self.text = ""
        self.secret: str | None = None
        self.trial_secret: str | None = None
        self.watched = False
        self.spoke_at = 0.0
        """Observed time of the last live word that was taken as a proof."""


class Tally(NamedTuple):
    """The figures of a run."""

    node_hours: float
    beats: int
    events: Counter[str]
    longest_online: float
    """Most seconds (observed) for which a silent node was shown online, less what it may."""
    longest_alive: float
    """The same for online or late."""
    wrong: list[str]
    cpu: float

    @property
    def false_offline_rate(self) -> float:
        """A node-hour."""
        return self.events["false_offline"] / max(self.node_hours, 1e-9)


class Desk(Told):
    """A gateway of pure parts."""

    def __init__(self, heap: Heap, broker: Broker, chance: random.Random) -> None:
        self.heap, self.broker, self.chance = heap, broker, chance
        self.records: dict[str, Record] = {}
        self.names: set[str] = set()
        self.clock = ObservedClock(EPOCH, _STEP)
        self.barrier = Barrier("hydro", "desk", per_filter=broker.by_filter)
        self.wire: Wire | None = None
        self.resumed: float | None = None
        self.events: Counter[str] = Counter()
        self.beats = 0
        self.over_online = self.over_alive = 0.0
        self.wrong: list[str] = []

    # -- the link ------------------------------------------------------------------------------

    def connect(self) -> None:
        """Again and again."""
        found = self.broker.connect("desk", (self._letter, self._lost), clean=False)
        if found is None:
            self.broker.later_by(self.chance.uniform(0.5, 5.0), self.connect)
            return
        wire, kept = found
        self.wire = wire
        self.barrier.build(FILTERS)
        if not kept:
            self.barrier.lift()
        wire.shake_hands(lambda: self._connected(wire))

    def _connected(self, wire: Wire) -> None:
        wire.subscribe([*FILTERS, _HELLO, *self.barrier.own], lambda: self._subscribed(wire))

    def _subscribed(self, wire: Wire) -> None:
        self.resumed = None
        for topic, nonce in self.barrier.letters():
            wire.publish(topic, nonce, False, None)
        self._ping(wire)

    def _ping(self, wire: Wire) -> None:
        if self.wire is wire:
            self._heard()
            wire.ping(self._heard)
            self.broker.later_by(_PING, self._ping, wire)

    def _heard(self) -> None:
        if self.wire is not None and not self.wire.cut:
            self.clock.heard(self.heap.time())
            if self.resumed is None:
                self.resumed = self.clock.read()

    def _lost(self, _why: str) -> None:
        self.wire = None
        self.resumed = None
        self.clock.lost()
        self.broker.later_by(self.chance.uniform(0.5, 5.0), self.connect)

    def cut(self) -> None:
        """Half-open; it is noticed after three silent pings."""
        wire = self.wire
        if wire is not None:
            wire.lose()
            self.broker.later_by(15.0, self._give_up, wire)

    def _give_up(self, wire: Wire) -> None:
        if self.wire is wire:
            wire.hang_up(politely=False)
            self._lost("silence")

    def restart(self) -> None:
        """The process is killed; what it knows is in its store."""
        if self.wire is not None:
            self.wire.hang_up(politely=False)
            self._lost("killed")

    # -- what comes in -------------------------------------------------------------------------

    def _letter(self, letter: Letter) -> None:
        wire = self.wire
        if wire is None:
            return
        wire.acknowledge(letter.mid)
        self._heard()
        if self.barrier.swallow(letter.topic, letter.payload) or not letter.payload:
            return
        live = not (self.barrier.up or letter.dup or letter.retain)
        message = json.loads(letter.payload)
        kind = letter.topic[letter.topic.rfind("/") + 1 :]
        name = message["hardware_id"] if kind == "node_hello" else letter.topic.split("/")[3]
        record = self.records[name]
        if live:
            self._listen(record, kind, message)
        elif kind == "heartbeat":
            said = Beat(message["boot_id"], message["seq"], 1, message["interval_s"])
            record.pulse = declares(record.pulse, said, GRACE)
        if kind == "node_hello":
            self._hello(record, message)
        elif kind == "config_report":
            self._report(record, message)

    def _listen(self, record: Record, kind: str, message: dict[str, Any]) -> None:
        """Liveness, as `watch.py` asks it."""
        now, before, boot = self.clock.read(), record.pulse, message.get("boot_id")
        if kind == "heartbeat":
            self.beats += 1
            seq = message["seq"]
            said = Beat(boot, seq, 1, message["interval_s"])
            after = beat(before, said, now, GRACE)
        elif kind == "lwt":
            after = will(before, boot)
        else:
            after = proof(before, boot, now, GRACE)
        record.pulse = after
        if after.proof > before.proof:
            record.spoke_at = now
        if after.life == "offline" != before.life:
            self._went_offline(record)
        if not record.watched and after.wait is not None:
            record.watched = True
            self._watch(record)

    def _watch(self, record: Record) -> None:
        """One alarm for each node, set anew when it rings too early."""
        pulse = record.pulse
        if pulse.wait is None:
            record.watched = False
            return
        heard = self.resumed if self.resumed is not None else self.clock.read()
        left = max(max(pulse.proof, heard) + pulse.wait - self.clock.read(), 0.0)
        self.broker.later_by(left + self.chance.random() * _SWEEP, self._deadline, record)

    def _deadline(self, record: Record) -> None:
        before, now = record.pulse, self.clock.read()
        if self.wire is not None and self.resumed is not None and before.wait is not None:
            after = passed(before, now, self.resumed, GRACE)
            if after.life != before.life:
                self._left(record, before, now)
                if after.life == "offline":
                    self._went_offline(record)
            record.pulse = after
        self._watch(record)

    # -- the truth -----------------------------------------------------------------------------

    def _left(self, record: Record, before: Pulse, now: float) -> None:
        """How long it was shown alive in silence, less what it may be."""
        assert self.resumed is not None
        silence = now - max(record.spoke_at, self.resumed)
        if before.life == "online":
            over = silence - late_after(before.interval, GRACE)
            self.over_online = max(self.over_online, over)
        over = silence - offline_after(before.interval, GRACE)
        self.over_alive = max(self.over_alive, over)

    def _went_offline(self, record: Record) -> None:
        self.events["offline"] += 1
        self.broker.later_by(_SETTLED, self._is_it_true, record, self.heap.time())

    def _is_it_true(self, record: Record, since: float) -> None:
        """Still offline, and its board is connected and has been all the time."""
        steady = record.board.steady_since(self.heap.time())
        if record.pulse.life == "offline" and steady <= since and self.resumed is not None:
            self.events["false_offline"] += 1

    def look(self) -> None:
        """Every state against the truth: who is long dead is not alive, who beats is not dead."""
        if self.wire is None or self.resumed is None or self.wire.cut or self.barrier.up:
            return
        now, real = self.clock.read(), self.heap.time()
        for name, record in self.records.items():
            board, pulse = record.board, record.pulse
            allowed = offline_after(pulse.interval, GRACE) + _STEP + _SWEEP + _TRANSIT
            silent = now - max(record.spoke_at, self.resumed)
            if pulse.life in ("online", "late") and silent > allowed:
                self.wrong.append(f"{name} is {pulse.life} after {silent:.0f} s of silence")
            settled = real - board.steady_since(real) > board.settings["interval_s"] * 1.2 + 30
            heard = now - self.resumed > board.settings["interval_s"] * 1.2 + 30
            if settled and heard and pulse.life != "online":
                self.wrong.append(f"{name} beats and is {pulse.life}")

    # -- registry and twin ---------------------------------------------------------------------

    def _hello(self, record: Record, message: dict[str, Any]) -> None:
        name, boot, seq = message["hardware_id"], message["boot_id"], message["seq"]
        revision, sha = message["config_revision"], message["config_sha256"]
        parts = ("node_hello", name, boot, seq, revision, sha)
        key = self._key(record, message.get("sig"), parts)
        verdict = admit(
            Facts(
                registration="open",
                known=bool(record.uid),
                lifecycle_state="REGISTERED_BACKEND",
                admission="accepted",
                must_sign=record.secret is not None,
                signed=bool(key),
                claimed=False,
                offline=record.pulse.life == "offline",
                reflashed=False,
            )
        )
        if not record.uid:
            record.uid = next(u for u in uids(name, "ph", None) if u not in self.names)
            self.names.add(record.uid)
        if verdict.reason:
            self.wrong.append(f"{name} was refused: {verdict.reason}")
        said = Said(kind="hello", revision=revision, sha256=sha, boot_id=boot, seq=seq)
        if key:
            self._believe(record, key)
        self._take(record, twins.hello(record.twin, said, self._wall()))
        self._receipt(record, message)

    def _receipt(self, record: Record, hello: dict[str, Any]) -> None:
        desired = record.twin.desired
        receipt = {
            "hardware_id": hello["hardware_id"],
            "boot_id": hello["boot_id"],
            "seq": hello["seq"],
            "unix_ts": int(self._wall()),
            "config_revision": desired.revision if desired else 0,
        }
        key = record.trial_secret or record.secret
        if key:
            receipt["sig"] = sign(key, "hello_ack", *receipt.values())
        self._publish(record, "hello_ack", {**receipt, "uid": record.uid})

    def _report(self, record: Record, message: dict[str, Any]) -> None:
        revision, sha = message.get("revision") or 0, message.get("sha256") or ""
        boot, seq, state = message["boot_id"], message["seq"], message.get("state") or ""
        parts = ("config_report", record.board.name, boot, seq, revision, sha)
        key = self._key(record, message.get("sig"), parts)
        if key is None:
            self.events["not_believed"] += 1
            return
        self._believe(record, key)
        proved = bool(key) and key == secret_in(record.text)
        said = Said(
            kind="report", revision=revision, sha256=sha, state=state, boot_id=boot, seq=seq,
            proved=proved,
        )  # fmt: skip
        step = twins.report(record.twin, said, self._wall())
        self._take(record, step)
        desired = record.twin.desired
        stale = any(isinstance(a, twins.Ignore) for a in step[1])
        if (
            not stale
            and state == "verified"
            and key
            and key == (record.trial_secret or record.secret)
        ):
            record.secret, record.trial_secret = key, None
        if desired and desired.state == "verified":
            pair = desired.revision, desired.sha256
            if pair not in record.board.proved:
                self.wrong.append(f"{record.board.name} never verified v{desired.revision}")

    def _key(self, record: Record, sig: str | None, parts: tuple[object, ...]) -> str | None:
        for key in (record.secret, record.trial_secret, secret_in(record.text)):
            if key and signed(sig, key, *parts):
                return key
        return None if record.secret else ""

    def _believe(self, record: Record, key: str) -> None:
        if key and key != record.secret:
            record.trial_secret = key

    def _take(self, record: Record, step: twins.Step) -> None:
        record.twin = step[0]
        desired = record.twin.desired
        for action in step[1]:
            if isinstance(action, Send) and desired is not None:
                self._send(record, desired.revision)
        if desired is not None and desired.next_at is not None:
            left = desired.next_at - self._wall() + 0.01
            self.broker.later_by(left, self._tick, record, desired.next_at)

    def _send(self, record: Record, revision: int) -> None:
        # as key_for of `sending.py`: the secret that it has, else what is inside the document
        secret = secret_in(record.text)
        key = ("secret", record.secret) if record.secret else ("open", secret)
        made = envelope(record.board.name, revision, record.text, key)
        self._publish(record, "config", made)
        record.trial_secret = secret if secret != record.secret else None

    def _tick(self, record: Record, planned: float) -> None:
        desired = record.twin.desired
        if desired is None or desired.next_at != planned:
            return
        if self.wire is None:
            self.broker.later_by(5.0, self._tick, record, planned)
            return
        offline = record.pulse.life == "offline"
        self._take(record, twins.tick(record.twin, self._wall(), offline=offline))

    def push(self, record: Record, *, good: bool) -> None:
        """The operator wants another document."""
        if not record.uid:
            return
        document = {
            "node_id": record.uid, "version": 3, "type": "ph",
            "gh_uid": "gh-temp", "zone_uid": "zn-temp", "wifi": {"configured": True},
            "mqtt": {"configured": True} if good else {"host": "nowhere", "port": 1883},
            "channels": [{"name": f"c{self.chance.randrange(1000)}", "type": "SENSOR"}],
            "node_secret": record.secret or secret_in(record.text) or self.chance.randbytes(32).hex(),
        }  # fmt: skip
        record.text = json.dumps(document)
        self._take(record, twins.push(record.twin, sha256_of(record.text), self._wall()))

    def _publish(self, record: Record, kind: str, message: dict[str, Any]) -> None:
        if self.wire is not None:
            topic = f"hydro/gh-temp/zn-temp/{record.board.name}/{kind}"
            self.wire.publish(topic, json.dumps(message).encode(), False, None)

    def _wall(self) -> float:
        return EPOCH + self.heap.time()


class Fleet:
    """Boards, a broker and a desk."""

    def __init__(self, seed: int, nodes: int, interval: int, *, by_filter: bool = False) -> None:
        self.seed, self.interval = seed, interval
        self.heap = Heap()
        self.chance = random.Random(seed)
        self.broker = Broker(self.heap, self.chance, by_filter=by_filter)  # type: ignore[arg-type] - as much of a loop as it wants
        self.broker.late_wills, self.broker.doubles = 0.3, 0.01
        self.desk = Desk(self.heap, self.broker, self.chance)
        self.boards = [
            Board(
                self.broker, f"esp32-{n:05x}", random.Random(self.chance.random()), self.desk,
                interval_s=interval, trial_s=120,
            )
            for n in range(nodes)
        ]  # fmt: skip
        self.desk.records = {board.name: Record(board) for board in self.boards}
        self.storm = True

    def play(self, hours: float) -> Tally:
        """A storm of this length, then calm for a day of beats; the figures."""
        began = time.process_time()
        self.desk.connect()
        for board in self.boards:
            self.broker.later_by(self.chance.uniform(0, self.interval), board.power_on)
        for rate, each, act in self._faults():
            self._plan(rate * (len(self.boards) if each else 1) / 3600, act)
        self._look()
        self.heap.run(hours * 3600)
        self.storm = False
        for board in self.boards:
            board.full = False
        self.heap.run(self.heap.time() + 21_000)
        for record in self.desk.records.values():
            if record.board.on:
                self.desk.push(record, good=True)
        self.heap.run(self.heap.time() + 4_000)
        self._close_the_books()
        hours = self.heap.time() / 3600
        desk = self.desk
        return Tally(
            hours * len(self.boards), desk.beats, desk.events, desk.over_online, desk.over_alive,
            desk.wrong, time.process_time() - began,
        )  # fmt: skip

    def _close_the_books(self) -> None:
        for name, record in self.desk.records.items():
            desired, good = record.twin.desired, record.board.node.store.good
            if record.pulse.life != "online":
                self.desk.wrong.append(f"{name} is {record.pulse.life} in the end")
            if desired is None or desired.state != "verified" or desired.sha256 != good.sha:
                state = desired.state if desired else "nothing"
                self.desk.wrong.append(f"{name}'s config is {state} in the end")

    def _look(self) -> None:
        self.desk.look()
        self.broker.later_by(max(self.interval * 2.0, 120.0), self._look)

    # -- the weather: times an hour, of each board or of the world ------------------------------

    def _faults(self) -> list[tuple[float, bool, Callable[[], None]]]:
        return [
            (0.010, True, lambda: self._board().reboot_in(self.chance.uniform(0.1, 30.0))),
            (0.005, True, self._go_away),
            (0.010, True, lambda: self._board().lose_connection()),
            (0.004, True, lambda: self._push(self._board())),
            (0.100, False, self.desk.cut),
            (0.100, False, self.desk.restart),
            (0.020, False, lambda: self._restart_broker(forgets=False)),
            (0.010, False, lambda: self._restart_broker(forgets=True)),
        ]

    def _go_away(self) -> None:
        board = self._board()
        if board.wire is not None and self.chance.random() < 0.5:
            board.wire.will = None  # it was lost with a broker: only silence tells
        board.reboot_in(self.chance.uniform(60.0, 20_000.0))

    def _board(self) -> Board:
        return self.chance.choice(self.boards)

    def _push(self, board: Board) -> None:
        self.desk.push(self.desk.records[board.name], good=self.chance.random() < 0.7)

    def _restart_broker(self, *, forgets: bool) -> None:
        if self.broker.up:
            self.broker.restart(self.chance.uniform(0.5, 300.0), forgets=forgets)

    def _plan(self, rate: float, act: Callable[[], None]) -> None:
        self.broker.later_by(self.chance.expovariate(rate), self._strike, rate, act)

    def _strike(self, rate: float, act: Callable[[], None]) -> None:
        if self.storm:
            act()
            self._plan(rate, act)
