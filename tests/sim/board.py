"""A board: the real thinking of the firmware, a flash that survives, power that does not.

Rules of this file. What `device/gwnode/run.py` does with actions is done here on a broker in memory;
everything that decides is the firmware's own. Power can go between any two actions.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gwnode import config
from gwnode.node import Node

from tests.sim.network import HALF_OPEN, Broker, Letter, Wire

if TYPE_CHECKING:
    import asyncio


def _facts() -> dict[str, int]:
    return {"uptime": 0, "free_heap": 0, "min_free_heap": 0, "rssi": -100}


class Board:
    """One device; `told` hears what it says, hears and proves."""

    def __init__(
        self, broker: Broker, name: str, chance: random.Random, told: Told, **settings: Any
    ) -> None:
        self.broker, self.name, self.chance, self.told = broker, name, chance, told
        self.settings = {
            "hardware_id": name,
            "node_type": "ph",
            "mqtt": {"host": "home", "port": 1883},
            "wifi": [{"ssid": "home", "pass": "word"}],
            **settings,
        }
        self.slots: dict[int, bytes] = {}
        self.record: bytes | None = None
        self.full = False
        self.cuts = 0.0
        """How likely the power goes at each action."""
        self.on = False
        self.went_off = 0.0
        self.boots = 0
        self.wire: Wire | None = None
        self.proved: set[tuple[int, str]] = {(0, "")}
        self._alarm: asyncio.TimerHandle | None = None
        self._born = 0.0
        self.node: Any = None

    # -- power ---------------------------------------------------------------------------------

    def power_on(self) -> None:
        """What flash has is all that is known."""
        if self.on:
            return
        self.on = True
        self.boots += 1
        self._born = self.broker.loop.now
        base = config.base(self.settings)
        slots = [config.unpack(number, content, base) for number, content in self.slots.items()]
        record = json.loads(self.record) if self.record else None
        store = config.Store(base, [s for s in slots if s], record)
        if store.booted():
            self.record = store.record()
        boot_id = self.chance.randbytes(4).hex()
        self.node = Node(self.settings, store, boot_id, _facts, self.chance.getrandbits(24))
        self._tick()

    def power_off(self) -> None:
        """No goodbye to anybody."""
        if not self.on:
            return
        self.on = False
        self.went_off = self.broker.loop.now
        if self._alarm is not None:
            self._alarm.cancel()
        wire, self.wire = self.wire, None
        if wire is not None:
            if wire.will is not None and self.chance.random() < self.broker.late_wills:
                topic, words = wire.will  # the next boot's birth may be there before it
                self.broker.later_by(
                    self.chance.uniform(1.0, 300.0), self.broker.route, topic, words, True
                )
                wire.will = None
            wire.hang_up(politely=False)

    def reboot_in(self, seconds: float) -> None:
        """Off now, on then; one that is off comes back as it was to."""
        if self.on:
            self.power_off()
            self.broker.later_by(seconds, self.power_on)

    def steady_since(self, now: float) -> float:
        """Since when it has been connected, as it believes and as it is; `now` where it is not."""
        if not self.on or self.wire is None or self.wire.cut or not self.node.connected:
            return now
        return self._born + (self.node.since - 1000) / 1000

    @property
    def now(self) -> int:
        """The board's own clock, milliseconds since its boot."""
        return 1000 + int((self.broker.loop.now - self._born) * 1000)

    # -- the loop of run.py --------------------------------------------------------------------

    def do(self, event: tuple[Any, ...]) -> None:
        """An event and all that follows from it; then the alarm for what is due next."""
        node, now, events = self.node, self.now, [event]
        for one in events:  # what is found is appended
            for action in node.step(one, now):
                if self.cuts and self.chance.random() < self.cuts:
                    self.reboot_in(self.chance.uniform(0.1, 20.0))
                    return
                found = getattr(self, "_" + action[0])(*action[1:])
                if not self.on:
                    return
                if found is not None:
                    events.append(found)
        self._set_alarm(node, now)

    def _set_alarm(self, node: Node, now: int) -> None:
        if node.connected:
            due, others = node.beat_at, (node.trial_ends, node.hello_at, node.time_at)
        else:
            due, others = node.open_at, (node.trial_ends,)
        for at in others:
            if at is not None and at < due:
                due = at
        if node.store.trial and node.trial_ends is None and node.wanted is None:
            due = now
        if self._alarm is not None:
            self._alarm.cancel()
        if due <= now:
            due = now + 1
        when = self._born + (due - 1000) / 1000 + 0.0005
        self._alarm = self.broker.loop.call_at(when, self._tick)

    def _tick(self) -> None:
        if self.on:
            self.do(("tick",))

    # -- the network ---------------------------------------------------------------------------

    def _on_letter(self, letter: Letter) -> None:
        if letter.topic.endswith("/hello_ack"):
            self.told.receipt(self, letter.payload)
        self.do(("message", letter.topic, bytearray(letter.payload)))

    def _lost(self, why: str) -> None:
        self.wire = None
        if self.on:
            self.do(("lost", why))

    def lose_connection(self) -> None:
        """The network takes everything and says nothing; the board finds out by its own ping."""
        wire = self.wire
        if wire is not None and not wire.cut:
            wire.lose()
            self.broker.later_by(self.chance.uniform(*HALF_OPEN), self._notice, wire)

    def _notice(self, wire: Wire) -> None:
        if self.wire is wire:
            wire.open = False
            self._lost("no answer to a ping")

    def _bound(self, wire: Wire, function: Callable[..., None], *args: Any) -> Callable[[], None]:
        """An answer counts only on the connection on which it was asked for."""

        def answer() -> None:
            if self.wire is wire and self.on:
                function(*args)

        return answer

    # -- actions -------------------------------------------------------------------------------

    def _open(self, mqtt: dict[str, Any], topic: str, will: bytes) -> tuple[Any, ...] | None:
        found = None
        if mqtt.get("host") == "home":
            ears = self._on_letter, self._lost
            found = self.broker.connect(self.name, ears, clean=True, will=(topic, will))
        if found is None:
            return "failed", "away"
        wire = self.wire = found[0]
        wire.shake_hands(self._bound(wire, self.do, ("connected",)))
        self.broker.later_by(10.0, self._no_answer, wire)
        return None

    def _no_answer(self, wire: Wire) -> None:
        if self.wire is wire and self.on and not self.node.connected:
            wire.hang_up(politely=False)
            self.wire = None
            self.do(("failed", "silence"))

    def _subscribe(self, topics: list[str]) -> None:
        if self.wire is not None:
            self.wire.subscribe(topics, lambda: None)

    def _publish(self, topic: str, payload: bytes, retain: bool, mark: str | None) -> None:
        wire = self.wire
        if wire is None:
            self.node.lost_messages += 1
            return
        wire.publish(topic, payload, retain, self._bound(wire, self._acked, mark) if mark else None)

    def _acked(self, mark: str) -> None:
        self.do(("acked", mark))

    def _save(self, slot: int, pieces: tuple[bytes, ...], record: bytes) -> tuple[Any, ...]:
        if self.full:
            return "unsaved", "no space"
        self.record = record
        if self.cuts and self.chance.random() < self.cuts * 10:
            self.reboot_in(1.0)  # between the record and the slot
            return ("saved",)
        good = json.loads(record)["good"]
        self.slots = {number: self.slots[number] for number in self.slots if number == good}
        self.slots[slot] = b"".join(pieces)
        return ("saved",)

    def _record(self, content: bytes) -> None:
        if not self.full:
            self.record = content
        good = self.node.store.good  # at once: power may go before anybody hears of it
        self.proved.add((good.revision, good.sha))

    def _close(self) -> None:
        if self.wire is not None:
            self.wire.hang_up(politely=True)
            self.wire = None

    def _restart(self, _why: str) -> None:
        self._close()
        self.reboot_in(1.0)

    def _flush(self) -> None:
        """What was said is on its way already."""

    def _clock(self, _unix: int) -> None:
        """The board's clock is nobody's business here."""

    def _log(self, text: str) -> None:
        self.told.log(self, text)


class Told:
    """Who hears what a board says and is told; `ledger.py` has the real one."""

    def receipt(self, board: Board, payload: bytes) -> None:
        """A receipt has reached it."""

    def log(self, board: Board, text: str) -> None:
        """A line of its log."""
