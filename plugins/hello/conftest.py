"""The plugin alone, with a node at its door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gateway_hello
import pytest

from gateway import Command, Node, NodeHello, sign
from gateway.testing.plugin import PluginBench

HW = "esp32-78e36ddde468"
SECRET = "s" * 64


class Door(PluginBench):
    """The bench, and what people do at a door: say hello, and give orders."""

    hardware_id = HW
    secret = SECRET
    temp = f"hydro/gh-temp/zn-temp/{HW}"

    def hello(self, **fields: Any) -> dict[str, Any]:
        """A hello; the receipt that leaves for it."""
        event = NodeHello(**{"hardware_id": HW, "node_type": "climate", **fields})
        self.play("node_hello", event, "hydro/node_hello")
        return self.sent[-1].payload

    def signed_hello(self, secret: str = SECRET, *, boot_id: str, **fields: Any) -> dict[str, Any]:
        """A hello of one of our nodes, signed."""
        sig = sign(secret, "node_hello", HW, boot_id, 1, 0, "")
        return self.hello(protocol=1, boot_id=boot_id, seq=1, sig=sig, **fields)

    def order(self, command: type[Command], name: str = HW) -> tuple[bool, dict[str, Any]]:
        """An operator's command; whether it was done, and the answer."""
        self.play("node_message", command(), name=name)
        assert self.answer is not None
        return self.answer

    def proved(self, **fields: Any) -> Node:
        """The node has verified a secret."""
        return self.registered(self.node(HW).uid, secret=SECRET, protocol=1, **fields)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """The plugin alone."""
    with Door(tmp_path, gateway_hello) as made:
        yield made
