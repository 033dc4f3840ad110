"""Timers of plugins: run on the plugin's thread, never twice at once; what they return gets a turn.

A turn is an event of kind `wake` in the node's own lane, for this plugin alone. It is not journaled:
a job finds again what is still due. So a node whose messages wait, on disk or for their commit, gets no
turn until they are heard: it would come before them, and a node be called silent whose beats are here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateway.api import Job, Turn
from gateway.flow.lanes import Item, Lanes
from gateway.host.registry import Plugin
from gateway.protocol.messages import Wake
from gateway.store import journal, nodes

if TYPE_CHECKING:
    from gateway.api import Host
    from gateway.flow.parts import Parts

log = logging.getLogger(__name__)


class _Call:
    """A job's function in the shape of a hook."""

    is_async = False

    def __init__(self, job: Job) -> None:
        self._job = job

    def ask(self, **values: Any) -> Any:
        return self._job.run(values["gateway"], values["config"])


class Jobs:
    """One task for each job of each plugin."""

    def __init__(self, parts: Parts, lanes: Lanes, host: Host, budget: float) -> None:
        self._parts = parts
        self._lanes = lanes
        self._host = host
        self._budget = budget
        self._tasks: list[asyncio.Task[None]] = []
        self._due: set[tuple[str, int]] = set()
        self.is_unheard: Callable[[str], bool] = lambda _lane: False

    def start(self, plugins: list[Plugin]) -> None:
        """Begin with the jobs of these plugins."""
        for plugin in plugins:
            for job in plugin.manifest.jobs:
                self._tasks.append(asyncio.ensure_future(self._run(plugin, job)))

    async def stop(self) -> None:
        """No more turns."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def turned(self, item: Item) -> None:
        """A wake-up has had its turn; it may be asked for again."""
        if item.kind == "wake" and item.only is not None:
            node_id = getattr(item.node, "id", 0)
            self._due.discard((item.only, node_id))

    async def _run(self, plugin: Plugin, job: Job) -> None:
        failures = 0
        while True:
            await asyncio.sleep(job.every * min(2**failures, 64))
            if plugin.state != "ready":
                continue
            call: Any = _Call(job)
            asked = self._parts.runners.ask(plugin, call, gateway=self._host, config=plugin.config)
            try:
                # wait_for of 3.11 would swallow a cancellation that comes together with the answer
                async with asyncio.timeout(self._budget):
                    found = await asyncio.wrap_future(asked)
            except Exception as error:  # noqa: BLE001 - a plugin's failure is its own
                if failures == 0:
                    log.warning("plugin %s: job %s failed: %r", plugin.name, job.name, error)
                failures = min(failures + 1, 6)
                continue
            failures = 0
            self._take_turns(plugin, job, list(found or ()))

    def _take_turns(self, plugin: Plugin, job: Job, turns: list[Turn]) -> None:
        now, observed = time.time(), self._parts.observed()
        items: list[Item] = []
        for turn in turns:
            node = self._parts.roster.get(turn.node_id)
            if node is None or (plugin.name, node.id) in self._due:
                continue
            lane = nodes.lane_of(node)
            if self._lanes.is_behind(lane) or self.is_unheard(lane):
                continue  # its beats wait: who has not been heard is not judged
            self._due.add((plugin.name, node.id))
            row = journal.Row(
                0, now, observed, "host", "wake", "wake", lane, f"$wake/{lane}", b"",
                journal.checksum(f"$wake/{lane}", b""),
            )  # fmt: skip
            item = Item(row, Wake(job=job.name))
            item.only = plugin.name
            items.append(item)
        self._lanes.push(items)
