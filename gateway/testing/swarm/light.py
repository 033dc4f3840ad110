"""A light node: the state of `gwnode/node.py` with a socket, and flash in two dictionaries.

Rules of this file. It does what `gwnode/run.py` does, without its files and its loop: events in, actions
out. What a node of another version would say is made from what ours says, on its way out.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from gateway.testing.swarm.line import Hears, Line, Login, open_line
from gateway.testing.swarm.scenario import Make

_NOT_FOREIGN = ("protocol", "boot_id", "seq")
"""What field firmware does not say."""


@dataclass
class Flash:
    """What survives a power cut."""

    slots: dict[int, bytes] = field(default_factory=dict)
    record: bytes = b""


class LightNode:
    """One node; `counts` is shared by the fleet."""

    def __init__(
        self, settings: dict[str, Any], flash: Flash, counts: Counter[str], dice: random.Random
    ) -> None:
        self.settings = settings
        self.flash = flash
        self.make = Make()
        self._counts = counts
        self._dice = dice
        self._line: Line | None = None
        self._marks: dict[int, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._node: Any = None
        self.connected = self.heard = False
        self.answered = False
        """It has been heard, or is connected and expects no receipt; once is for ever."""

    # -- power -----------------------------------------------------------------------------------

    def boot(self) -> None:
        """Power on: what flash has is all that is known."""
        self._counts["boots"] += 1
        config = import_module("gwnode.config")
        base = config.base(self.settings)
        slots = [config.unpack(number, text, base) for number, text in self.flash.slots.items()]
        record = json.loads(self.flash.record) if self.flash.record else None
        claim_key = self.settings.get("claim_key", "")
        store = config.Store(base, [slot for slot in slots if slot], record, claim_key, False)
        if store.booted():
            self.flash.record = store.record()
        boot_id, seed = f"{self._dice.getrandbits(32):08x}", self._dice.getrandbits(24)
        began = self._now()

        def facts() -> dict[str, int]:
            up = (self._now() - began) // 1000
            return {"free_heap": 61_440, "min_free_heap": 49_152, "rssi": -61, "uptime": up}

        node = import_module("gwnode.node").Node
        self._node = node(self.settings, store, boot_id, facts, seed)

    def cut_power(self) -> None:
        """Off, at once: the broker finds out by itself."""
        self._let_go(torn=True)
        self._node = None

    def stop(self) -> None:
        """Off, in order."""
        self._let_go(torn=False)
        self._node = None

    def lose_link(self) -> None:
        """The Wi-Fi is gone for a moment."""
        if self._line is not None:
            self._let_go(torn=True)
            self._do(("lost", "no Wi-Fi"))

    def jump(self, seconds: float) -> None:
        """The clock is put elsewhere."""
        if self._node is not None and self._node.wall is not None:
            self._node.wall += int(seconds * 1000)

    @property
    def is_on(self) -> bool:
        """True while it has power."""
        return self._node is not None

    # -- events and actions ----------------------------------------------------------------------

    def tick(self) -> None:
        """Time goes by."""
        if self._node is None:
            return
        self._do(("tick",))
        if self._line is not None and self.connected:
            quiet = asyncio.get_running_loop().time() - self._line.said_at
            if quiet > self._keepalive() / 2:
                self._line.ping()

    def _do(self, event: tuple[Any, ...]) -> None:
        events = [event]
        while events and self._node is not None:
            for action in self._node.step(events.pop(0), self._now()):
                found = getattr(self, f"_{action[0]}", self._ignore)(*action[1:])
                if found:
                    events.append(found)

    def _open(self, mqtt: dict[str, Any], will_topic: str, will: Any) -> None:
        self._let_go(torn=False)
        text = will if isinstance(will, bytes) else str(will).encode()
        login = Login(
            self.settings["hardware_id"],
            str(mqtt.get("username") or ""),
            str(mqtt.get("password") or ""),
            self._keepalive(),
            will_topic,
            self._as_it_is_said(text),
        )
        line = Line(login, Hears(self._opened, self._message, self._acked, self._ended))
        self._line = line
        self._task = asyncio.ensure_future(
            self._connect(line, str(mqtt.get("host")), int(mqtt.get("port", 1883)))
        )

    async def _connect(self, line: Line, host: str, port: int) -> None:
        try:
            await open_line(host, port, line)
        except OSError as error:  # TimeoutError is one
            if self._line is line:
                self._ended(str(error) or "no answer")

    def _opened(self) -> None:
        self.connected = True
        self.answered |= self.make.foreign
        self._counts["connections"] += 1
        self._do(("connected",))

    def _message(self, topic: str, payload: bytes) -> None:
        kind = topic.rpartition("/")[2]
        if kind == "hello_ack":
            if self.make.foreign:
                return  # it does not know what that is
            self.heard = self.answered = True
        self._counts[f"got {kind}"] += 1
        self._do(("message", topic, bytearray(payload)))

    def _acked(self, number: int) -> None:
        mark = self._marks.pop(number, None)
        if mark:
            self._do(("acked", mark))

    def _ended(self, why: str) -> None:
        was, self.connected, self._line = self.connected, False, None
        self._marks.clear()
        self._do(("lost" if was else "failed", why))

    def _subscribe(self, topics: list[str]) -> None:
        if self._line is not None:
            self._line.subscribe(topics)

    def _publish(self, topic: str, payload: Any, retain: bool, mark: str | None) -> None:
        if self._line is None:
            return
        text = payload if isinstance(payload, bytes) else str(payload).encode()
        number = self._line.publish(topic, self._as_it_is_said(text), retain=bool(retain))
        self._counts[f"said {topic.rpartition('/')[2]}"] += 1
        if mark:
            self._marks[number] = mark

    def _save(self, slot: int, pieces: tuple[bytes, ...], record: bytes) -> tuple[str]:
        good = json.loads(record)["good"]
        self.flash.slots = {n: text for n, text in self.flash.slots.items() if n == good}
        self.flash.slots[slot], self.flash.record = b"".join(pieces), record
        return ("saved",)

    def _record(self, record: bytes) -> None:
        self.flash.record = record

    def _close(self) -> None:
        self._let_go(torn=False)

    def _restart(self, _why: str) -> None:
        self.stop()
        self.boot()

    def _ignore(self, *_details: Any) -> None:
        """What a light node has not: a clock chip, a log, a traceback; sockets flush by themselves."""

    # -- small things ----------------------------------------------------------------------------

    def _let_go(self, *, torn: bool) -> None:
        line, self._line = self._line, None
        self.connected = self.heard = False
        self._marks.clear()
        if line is not None:
            (line.tear if torn else line.close)()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _keepalive(self) -> int:
        return int(self.settings["mqtt"].get("keepalive", 60))

    def _now(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000)

    def _as_it_is_said(self, payload: bytes) -> bytes:
        """As this node's own version says it."""
        if not self.make.foreign and not self.make.fw_version:
            return payload
        said = json.loads(payload)
        if self.make.foreign:
            said = {key: value for key, value in said.items() if key not in _NOT_FOREIGN}
        if self.make.fw_version and "fw_version" in said:
            said["fw_version"] = self.make.fw_version
        return json.dumps(said, separators=(",", ":")).encode()
