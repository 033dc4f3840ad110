"""One gateway from its start to its stop: what is taken, in which order, and how it is let go of.

Everything in here runs on the gateway's own loop (rule 14).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.broker.choose import choose
from gateway.broker.embedded import EmbeddedBroker
from gateway.engine import plugins
from gateway.engine.facts import facts
from gateway.engine.opening import DATABASE, Opened
from gateway.engine.wiring import Story, Wiring
from gateway.failpoint import failpoint, from_environment
from gateway.flow.work import Effect
from gateway.hooks.tx import Gathered
from gateway.service.handlers import Handler
from gateway.service.keeper import LOOK, Keeper
from gateway.settings.model import Settings
from gateway.store import commands, journal, outbox
from gateway.store.lock import StateLock

log = logging.getLogger(__name__)
PRUNE_EVERY = 30.0


class Engine:
    """One running gateway."""

    def __init__(self, settings: Settings, story: Story, files: Sequence[Path] = ()) -> None:
        self.settings = settings
        self.folder = Path(settings.state_dir).expanduser()
        self.story = story
        self.trouble: Exception | None = None
        self.keeper = Keeper(settings, self.folder, files, story)
        self.broker: EmbeddedBroker | None = None
        self.started_at = time.time()
        self._lock = StateLock(self.folder)
        self._tasks: list[asyncio.Task[None]] = []
        # what has to be let go of, last taken first, however far the start came
        self._undo: list[Callable[[], Coroutine[Any, Any, None]]] = []

    # -- start -------------------------------------------------------------------------------

    async def start(self, handlers: list[Handler]) -> None:
        """Open the store, load the plugins, take up what was left, then open the link.

        Raises GatewayError; whatever was taken until then is let go of.
        """
        from_environment()
        self._lock.take()
        failpoint("start.locked")
        try:
            self._open_store()
            failpoint("start.opened")
            self._build(handlers)
            await plugins.start(self.registry, self.wiring, self.settings.handlers.budget)
            failpoint("start.plugins")
            self._take_up()
            failpoint("start.taken_up")
            await self._start_link()
            failpoint("start.linked")
        except BaseException:
            await self._let_go()
            raise

    def _open_store(self) -> None:
        self.opened = Opened(self.settings, self.folder, self.keeper)
        self.registry = self.opened.registry
        self.opened.begin(self._on_trouble)
        self._undo.append(self.opened.close)

    def _build(self, handlers: list[Handler]) -> None:
        self.wiring = Wiring(self.settings, self.folder, self.opened, self.story)
        self.wiring.operator.facts = self.facts
        self.wiring.parts.careful.begin(first for _lane, first, _count in self.opened.waiting)
        for handler in handlers:
            self.wiring.handlers.add(handler)
        self._undo.append(self._stop_threads)

    async def _stop_threads(self) -> None:
        await asyncio.to_thread(self.wiring.runners.stop)
        await asyncio.to_thread(self.wiring.handlers.stop)

    def _take_up(self) -> None:
        """Go on with what the last run left, and begin the regular jobs."""
        wiring, opened = self.wiring, self.opened
        # one at a time, what may have ended the last run: before the rest of a long journal
        wiring.lanes.restore(opened.waiting, heads=bool(wiring.parts.careful))
        for lane, plugin, _count in opened.deliveries:
            wiring.retries.open(lane, plugin)
        wiring.outbox.push(opened.parcels)
        wiring.dispatcher.kick()
        self._watch = commands.CommandWatch(self.folder / commands.NAME)
        self._every(0.05, self._sweep)
        self._every(0.15, self._look_for_commands)
        self._every(PRUNE_EVERY, self._prune)
        self._every(min(LOOK, self.settings.backup.every or LOOK), self.keeper.look)
        self.wiring.jobs.start(self.registry.ready())
        self._undo.append(self._end_tasks)

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.wiring.jobs.stop()
        await self.wiring.retries.stop()
        await self.wiring.outbox.stop()
        self._watch.close()

    async def _start_link(self) -> None:
        target = await asyncio.to_thread(choose, self.settings, self.folder)
        host, port = target.host, target.port
        if target.embedded:
            self.broker = EmbeddedBroker(self.folder / "broker", port=port)
            await self.broker.start()
            failpoint("start.broker")
            self._undo.append(self.broker.stop)
            port = self.broker.port
        ready = self.registry.ready()
        names = ", ".join(f"{plugin.name} {plugin.version}" for plugin in ready)
        self.story("broker", self.broker.describe() if self.broker else f"{host}:{port}")
        self.story(
            "gateway",
            f"{len(ready)} plugin{'s' * (len(ready) != 1)} ({names}), store {self.folder / DATABASE}",
        )
        for plugin in self.registry.plugins.values():
            if plugin.state == "failed":
                self.story("plugin", f"{plugin.name} is off: {plugin.error}")
        self._undo += [self.wiring.link.stop, self.wiring.uplink.rights.stop]
        await self.wiring.uplink.start(host, port, embedded=target.embedded)

    # -- while it runs -----------------------------------------------------------------------

    def _every(self, seconds: float, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def run() -> None:
            while True:
                await asyncio.sleep(seconds)
                try:
                    await function()
                except Exception:
                    log.exception("%s failed; it goes on", function.__name__)

        self._tasks.append(asyncio.ensure_future(run()))

    async def _sweep(self) -> None:
        self.wiring.dispatcher.sweep(time.monotonic())

    async def _look_for_commands(self) -> None:
        for asked in self._watch.look():
            self.wiring.operator.take(asked)

    async def _prune(self) -> None:
        before = time.time() - self.settings.store.prune_done_after
        keep, step = self.settings.store.prune_done_rows, 2000
        removed = step
        while removed == step:  # in steps, so that nobody waits for a long transaction
            removed = await self.opened.writer.submit(
                lambda c: journal.prune(c, before, keep, step)
            )

    async def publish(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Queue a message of the application that embeds us."""
        tx = Gathered(self.opened.reader, self.opened.roster)
        tx.publish_json(topic, payload)
        effect = Effect("app", tx, 0, self.opened.ids, time.time())
        await self.opened.writer.submit(lambda c: outbox.put(c, effect.parcels))
        self.wiring.outbox.push(effect.parcels)

    def _on_trouble(self, error: Exception | None) -> None:
        self.trouble = error
        if error is None:
            self.story("store", "the store can be written again")
        else:
            self.story(
                "store", f"cannot be written ({error}); nothing is acknowledged until it can"
            )

    def facts(self) -> dict[str, Any]:
        """What `status` shows of the running gateway."""
        return facts(self)

    # -- stop --------------------------------------------------------------------------------

    @property
    def left(self) -> int:
        """Events in memory that are not done."""
        return self.wiring.lanes.held + self.wiring.lanes.running

    async def stop(self) -> None:
        """Take nothing more, finish what was accepted within `shutdown_grace`, let go in order."""
        self.wiring.uplink.quiet = True
        self.wiring.intake.close()  # reading goes on: what we publish is acknowledged there
        failpoint("stop.begun")
        await self.wiring.jobs.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.shutdown_grace):
                await self._finish()
        failpoint("stop.finished")
        self.wiring.dispatcher.accepting = False
        self.wiring.runners.halt()
        await plugins.stop(self.registry, self.wiring)
        failpoint("stop.plugins")
        await self._let_go()
        failpoint("stop.released")
        self.wiring.parts.careful.end()

    async def _finish(self) -> None:
        while self._at_work():  # noqa: ASYNC110 - five sources of work; a look each 10 ms is simpler
            await asyncio.sleep(0.01)
        if self.wiring.link.connected:
            await self.wiring.outbox.drain()

    def _at_work(self) -> bool:
        flowing = not self.wiring.intake.idle or not self.wiring.dispatcher.idle or self.left > 0
        return flowing or self.wiring.retries.under_way

    async def _let_go(self) -> None:
        """Undo what was taken, last first; what is left is in the store."""
        while self._undo:
            undo = self._undo.pop()
            try:
                await undo()
            except Exception:
                log.exception("letting go (%s) failed; it goes on", undo.__name__)
        self._lock.release()
