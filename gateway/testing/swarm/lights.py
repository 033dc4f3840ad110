"""The fleet of light nodes: made from the order, with what their flash holds kept in one file.

Rules of this file. The file is whole at any time; of nodes that do not run this time, what is kept stays.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

from gateway.testing.swarm.light import Flash, LightNode
from gateway.testing.swarm.scenario import Make, Play, Scenario, Step, assign


class LightFleet:
    """All of them."""

    starts = 400
    unanswered = 500

    def __init__(self, order: dict[str, Any], counts: Counter[str], dice: random.Random) -> None:
        self._file = Path(order["folder"]) / "light.json"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._dice = dice
        kept = self._kept()
        self._stem = kept.get("stem") or f"{dice.getrandbits(32):08x}"
        self.nodes = [
            LightNode(
                {
                    "hardware_id": f"esp32-{self._stem}{number:04x}",
                    "node_type": order["types"][number % len(order["types"])],
                    **order["settings"],
                },
                _flash_of(kept.get("flash", {}).get(str(number))),
                counts,
                dice,
            )
            for number in range(int(order["nodes"]))
        ]

    async def play(self, scenario: Scenario) -> Play[LightNode]:
        """Give the nodes their makes, and let things happen to them."""
        assign(scenario, self.nodes)
        return Play(scenario, self.nodes, self._dice, MORE)

    def news(self) -> list[str]:
        """They have none."""
        return []

    async def close(self) -> None:
        """Nothing is open but the nodes."""

    def save(self) -> None:
        """Write what flash holds."""
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
        flash = {**self._kept().get("flash", {}), **flash}
        fresh.write_text(json.dumps({"stem": self._stem, "flash": flash}))
        fresh.replace(self._file)

    def _kept(self) -> dict[str, Any]:
        try:
            found = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _flash_of(kept: dict[str, Any] | None) -> Flash:
    if kept is None:
        return Flash()
    slots = {int(number): text.encode() for number, text in kept["slots"].items()}
    return Flash(slots, kept["record"].encode())


def _jump_clock(node: LightNode, step: Step) -> None:
    node.jump(step.seconds)


def _upgrade(node: LightNode, _step: Step) -> None:
    node.stop()
    node.make = Make()
    node.boot()


MORE = {"clock_jump": _jump_clock, "upgrade": _upgrade}
"""What light nodes can do besides losing power and links."""
