"""What tests of this plugin say in a word."""

from __future__ import annotations

from typing import Any

from gateway_heartbeat import watch
from gateway_heartbeat.liveness import Grace

from gateway import Node, NodeHeartbeat, Wake
from gateway.testing.plugin import PluginBench

TOPIC = "hydro/gh-temp/zn-temp/hw/heartbeat"
GRACE = Grace()


def beats(bench: PluginBench, **more: Any) -> Node:
    """A beat is heard."""
    source = {name: more.pop(name) for name in ("live", "retained", "count") if name in more}
    return bench.play("node_heartbeat", NodeHeartbeat(**more), TOPIC, **source)


def sweep(bench: PluginBench) -> str:
    """The job, and the turns that it asks for."""
    assert bench.config is not None
    for _ in watch.due(bench.host, bench.config):
        bench.play("node_message", Wake(job="expire"), name="hw")
    return bench.node("hw").life
