"""The process of a fleet of light nodes: its order comes as JSON on stdin, its counts go to stdout.

Rules of this file. One JSON line a second, and one for each step of the scenario. It ends at SIGTERM,
SIGINT, when its time is over or when whoever started it is gone; what is on the nodes' flash is kept in
one file, so that the next run finds the same nodes.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from gateway.testing.swarm import scenario
from gateway.testing.swarm.light import Flash, LightNode

_TICK = 0.05
_ROUNDS = 10  # a node is looked at every so many ticks
_TELL = 1.0
_SAVE = 10.0
_STARTS = 400  # nodes that are switched on in a second, at most
_UNANSWERED = 500  # so many may wait for their first receipt; then the next ones wait for power
_PATIENCE = 5.0  # where no receipt comes for so long, nobody waits for one


class Pace:
    """How many nodes have power by now. What a fleet does when all of it wakes at once is the scenario
    `storm`; a start goes as fast as the gateway takes them in, whatever else this machine does."""

    def __init__(self, now: float) -> None:
        self._last = self._heard_at = now
        self._answered = 0
        self._room = 0.0

    def allowed(self, now: float, on: int, answered: int) -> int:
        """How many there may be, where `on` are and `answered` of them have their receipt."""
        self._room = min(self._room + (now - self._last) * _STARTS, _STARTS)
        self._last = now
        if answered > self._answered:
            self._answered, self._heard_at = answered, now
        waits_for_nobody = now - self._heard_at > _PATIENCE
        more = (
            int(self._room)
            if waits_for_nobody
            else min(int(self._room), answered + _UNANSWERED - on)
        )
        self._room -= max(0, more)
        return on + max(0, more)


class Swarm:
    """All of them."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._file = Path(order["folder"]) / "light.json"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._for = float(order.get("seconds") or 0)
        self._parent = os.getppid()
        dice = random.Random(order.get("seed"))
        self._counts: Counter[str] = Counter()
        kept = self._kept()
        stem = kept.get("stem") or f"{dice.getrandbits(32):08x}"
        self._stem = stem
        self.nodes = [
            LightNode(
                {
                    "hardware_id": f"esp32-{stem}{number:04x}",
                    "node_type": order["types"][number % len(order["types"])],
                    **order["settings"],
                },
                _flash_of(kept.get("flash", {}).get(str(number))),
                self._counts,
                dice,
            )
            for number in range(int(order["nodes"]))
        ]
        self._play: scenario.Play | None = None
        if order.get("scenario"):
            found = scenario.read(scenario.find(order["scenario"]))
            scenario.assign(found, self.nodes)
            self._play = scenario.Play(found, self.nodes, dice)
        self._end = asyncio.Event()

    async def run(self) -> None:
        """Until somebody ends it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end.set)
        began = told = saved = loop.time()
        round_ = on = 0
        pace = Pace(began)
        while not self._end.is_set() and os.getppid() == self._parent:
            now = loop.time()
            if on < len(self.nodes):
                answered = sum(node.answered for node in self.nodes[:on])
                allowed = min(pace.allowed(now, on, answered), len(self.nodes))
                for node in self.nodes[on:allowed]:
                    node.boot()
                on = allowed
            for node in self.nodes[round_ % _ROUNDS :: _ROUNDS]:
                node.tick()
            round_ += 1
            self._happen(now - began)
            if now - told >= _TELL:
                told = now
                self._tell()
            if now - saved >= _SAVE:
                saved = now
                self._save()
            if self._for and now - began >= self._for:
                break
            await asyncio.sleep(max(0.0, _TICK - (loop.time() - now)))
        self._tell()
        for node in self.nodes:  # as real ones end here: the broker says their wills
            node.cut_power()
        await asyncio.sleep(0.1)
        self._save()

    def _happen(self, since: float) -> None:
        for line in self._play.due(since) if self._play else ():
            _print({"happened": line})

    def _tell(self) -> None:
        ours = [node for node in self.nodes if not node.make.foreign]
        _print(
            {
                "nodes": len(self.nodes),
                "connected": sum(node.connected for node in self.nodes),
                "receipted": sum(node.heard for node in ours),
                "expect_receipts": len(ours),
                "counts": dict(self._counts),
            }
        )

    def _kept(self) -> dict[str, Any]:
        try:
            found = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _save(self) -> None:
        flash = {
            str(number): {
                "slots": {str(n): text.decode() for n, text in node.flash.slots.items()},
                "record": node.flash.record.decode(),
            }
            for number, node in enumerate(self.nodes)
            if node.flash.record
        }
        fresh = self._file.with_suffix(".new")
        fresh.touch(mode=0o600)  # the nodes' secrets are in it
        # of nodes that are not running this time, what is kept stays
        flash = {**self._kept().get("flash", {}), **flash}
        fresh.write_text(json.dumps({"stem": self._stem, "flash": flash}))
        fresh.replace(self._file)


def _flash_of(kept: dict[str, Any] | None) -> Flash:
    if kept is None:
        return Flash()
    slots = {int(number): text.encode() for number, text in kept["slots"].items()}
    return Flash(slots, kept["record"].encode())


def _print(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


def main() -> int:
    """Read the order, raise the limit of open files, run."""
    order = json.loads(sys.stdin.readline())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = int(order["nodes"]) + 64
    if soft < needed <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    elif hard < needed:
        _print({"error": f"only {hard:,} files may be open here, and each node needs one"})
        return 1
    try:
        asyncio.run(Swarm(order).run())
    except ValueError as error:
        _print({"error": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
