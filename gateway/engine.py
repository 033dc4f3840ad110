"""The composition root: builds each object once, wires them, starts and stops them in order.

Everything in here runs on the gateway's own loop (rule 14). `mqtt` and `store` never meet: the link
hands its lists to the intake, and acknowledges what the intake says is on disk.
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
from gateway.errors import GatewayError, PluginError, SettingsError
from gateway.failpoint import failpoint, from_environment
from gateway.flow.calls import Runners
from gateway.flow.careful import Careful
from gateway.flow.dispatch import Dispatcher
from gateway.flow.intake import Intake
from gateway.flow.lanes import Lanes
from gateway.flow.outbox import Outbox
from gateway.flow.parts import Parts
from gateway.flow.retries import Retries
from gateway.flow.tx import Gathered
from gateway.flow.work import Effect, Ids, Unit
from gateway.host.registry import Plugin, Registry
from gateway.service.handlers import Handler, Handlers
from gateway.service.jobs import Jobs
from gateway.service.keeper import LOOK, Keeper
from gateway.service.operator import Operator
from gateway.service.uplink import Uplink, known_handlers
from gateway.service.view import HostView
from gateway.settings.model import Settings
from gateway.store import commands, journal, migrations
from gateway.store import outbox as outbox_rows
from gateway.store.lock import StateLock
from gateway.store.nodes import Roster
from gateway.store.reader import Reader
from gateway.store.sqlite import Connection, open_writer
from gateway.store.writer import Writer

log = logging.getLogger(__name__)
DATABASE = "gateway.db"
Story = Callable[[str, str], None]


class Engine:
    """One running gateway."""

    def __init__(self, settings: Settings, story: Story, files: Sequence[Path] = ()) -> None:
        self.settings = settings
        self.folder = Path(settings.state_dir).expanduser()
        self.story = story
        self.trouble: Exception | None = None
        self._started_at = time.time()
        self._lock = StateLock(self.folder)
        self._keeper = Keeper(settings, self.folder, files, story)
        self._tasks: list[asyncio.Task[None]] = []
        # what has to be let go of, last taken first, however far the start came
        self._undo: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._broker: EmbeddedBroker | None = None

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
            await self._start_plugins()
            failpoint("start.plugins")
            self._take_up()
            failpoint("start.taken_up")
            await self._start_link()
            failpoint("start.linked")
        except BaseException:
            await self._let_go()
            raise

    def _open_store(self) -> None:
        if self.settings.store.url:
            raise SettingsError(
                f"[store] url = {self.settings.store.url!r} is not possible yet",
                why="this version keeps its store in SQLite, in state_dir",
                hint='leave it empty: [store] url = ""',
            )
        path = self.folder / DATABASE
        level = self.settings.store.synchronous

        def open_connection() -> Connection:
            return open_writer(path, level)

        connection = self._keeper.open(open_connection)
        self.registry = Registry.load(self.settings)
        self._keeper.before_migrations(connection, self.registry.ready())
        migrations.migrate_core(connection)
        for plugin in self.registry.ready():
            self._migrate(connection, plugin)
        self._keeper.after_migrations(connection)
        failpoint("start.migrated")
        self.roster = Roster()
        self.roster.load(connection)
        self.ids = Ids.load(connection)
        self._left = (
            journal.waiting_lanes(connection),
            journal.open_deliveries(connection),
            outbox_rows.waiting(connection),
        )
        self._last_filters = connection.execute(
            "SELECT session, filter FROM subscriptions"
        ).fetchall()
        self.reader = Reader(path)
        self.writer = Writer(open_connection, on_trouble=self._on_trouble)
        self.writer.start(connection)
        self._undo.append(self._close_store)

    def _migrate(self, connection: Connection, plugin: Plugin) -> None:
        if plugin.migrations is None:
            return
        try:
            migrations.migrate_plugin(connection, plugin.name, plugin.migrations)
        except PluginError as error:
            self.registry.disable(plugin.name, f"{error.what}: {error.why}")

    async def _close_store(self) -> None:
        await self.writer.close()
        failpoint("stop.store_closed")
        self.reader.close()

    def _build(self, handlers: list[Handler]) -> None:
        settings, loop, times = self.settings, asyncio.get_running_loop(), self.settings.handlers
        self.parts = parts = Parts(
            self.registry,
            self.roster,
            self.reader,
            self.writer,
            self.ids,
            settings,
        )
        report: Callable[[list[Any]], None] = lambda done: self.dispatcher.report(done)  # noqa: E731 - the dispatcher is made below
        parts.careful = Careful(self.folder)
        parts.careful.begin(first for _lane, first, _count in self._left[0])
        self.runners = parts.runners = Runners(loop, report, times.budget)
        parts.handlers = Handlers(self.runners, loop, report)
        parts.handlers.restore(known_handlers(self._last_filters))
        for handler in handlers:
            parts.handlers.add(handler)
        self.outbox = parts.outbox = Outbox(self.writer, self._publish, self.roster.get)
        self.retries = parts.retries = Retries(parts, times)
        self.lanes = Lanes(
            self._read_lane,
            lambda: self.dispatcher.kick(),
            window=settings.limits.window,
            lane_window=settings.limits.lane_window,
        )
        self.dispatcher = Dispatcher(parts, self.lanes, self.runners, times.gather)
        self.retries.dispatcher = self.dispatcher
        self.intake = Intake(parts, self.lanes, self._ack, keep_refused=settings.store.refused_keep)
        self.intake.on_full = self._on_full
        self.operator = Operator(parts, self.intake)
        self.operator.facts = self.facts
        self.uplink = Uplink(settings, self.folder, parts, self._last_filters, self.story)
        self.link = self.uplink.build(self.intake.take, self.outbox.connected)
        self.intake.is_copy = lambda topic: self.uplink.is_copy(topic)
        parts.observed = self.link.observed
        self.view = HostView(settings, parts, self)
        self.jobs = Jobs(parts, self.lanes, self.view, times.budget)
        parts.on_event = self._on_event
        self._undo.append(self._stop_threads)

    async def _stop_threads(self) -> None:
        await asyncio.to_thread(self.runners.stop)
        await asyncio.to_thread(self.parts.handlers.stop)

    async def _start_plugins(self) -> None:
        for plugin in self.registry.ready():
            bound = plugin.hooks.get("startup")
            if bound is None:
                continue
            asked = self.runners.ask(plugin, bound, gateway=self.view, config=plugin.config)
            try:
                await asyncio.wait_for(asyncio.wrap_future(asked), self.settings.handlers.budget)
            except Exception as error:
                self.registry.disable(plugin.name, f"startup failed: {error!r}")
                log.exception("plugin %s: startup failed, it stays off", plugin.name)

    def _take_up(self) -> None:
        """Go on with what the last run left, and begin the regular jobs."""
        waiting, open_deliveries, parcels = self._left
        self.lanes.restore(waiting)
        for lane, plugin, count in open_deliveries:
            self.retries.opened(lane, plugin, count)
        self.outbox.push(parcels)
        self.dispatcher.kick()
        self._watch = commands.CommandWatch(self.folder / commands.NAME)
        self._every(0.05, self._sweep)
        self._every(0.15, self._look_for_commands)
        self._every(30.0, self._prune)
        self._every(min(LOOK, self.settings.backup.every or LOOK), self._keeper.look)
        self.jobs.start(self.registry.ready())
        self._undo.append(self._end_tasks)

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.jobs.stop()
        await self.retries.stop()
        await self.outbox.stop()
        self._watch.close()

    async def _start_link(self) -> None:
        target = await asyncio.to_thread(choose, self.settings, self.folder)
        host, port = target.host, target.port
        if target.embedded:
            self._broker = EmbeddedBroker(self.folder / "broker", port=port)
            await self._broker.start()
            failpoint("start.broker")
            self._undo.append(self._broker.stop)
            port = self._broker.port
        ready = self.registry.ready()
        names = ", ".join(f"{plugin.name} {plugin.version}" for plugin in ready)
        self.story("broker", self._broker.describe() if self._broker else f"{host}:{port}")
        self.story(
            "gateway",
            f"{len(ready)} plugin{'s' * (len(ready) != 1)} ({names}), store {self.folder / DATABASE}",
        )
        for plugin in self.registry.plugins.values():
            if plugin.state == "failed":
                self.story("plugin", f"{plugin.name} is off: {plugin.error}")
        self._undo.append(self.link.stop)
        await self.uplink.start(host, port, embedded=target.embedded)

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
        self.dispatcher.sweep(time.monotonic())

    async def _look_for_commands(self) -> None:
        for asked in self._watch.look():
            self.operator.take(asked)

    async def _prune(self) -> None:
        before = time.time() - self.settings.store.prune_done_after
        keep, step = self.settings.store.prune_done_rows, 2000
        removed = step
        while removed == step:  # in steps, so that nobody waits for a long transaction
            removed = await self.writer.submit(lambda c: journal.prune(c, before, keep, step))

    def _read_lane(self, lane: str, after: int, limit: int) -> list[journal.Row]:
        return journal.next_of_lane(self.reader.connection(), lane, after, limit)

    def _ack(self, tokens: list[Any]) -> None:
        self.link.ack(tokens)

    async def _publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        await self.link.publish(topic, payload, qos=qos, retain=retain)

    async def publish(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Queue a message of the application that embeds us."""
        tx = Gathered(self.reader, self.roster)
        tx.publish_json(topic, payload)
        effect = Effect("app", tx, 0, self.ids, time.time())
        replaced = await self.writer.submit(lambda c: outbox_rows.put(c, effect.parcels))
        self.outbox.push(effect.parcels, replaced)

    def _on_event(self, unit: Unit) -> None:
        self.jobs.turned(unit.item)

    def _on_full(self, full: bool) -> None:
        if full:
            log.warning("the journal cannot keep up: reading stops until it can")
            self.link.pause()
        else:
            self.link.resume()

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
        options = self.link.options
        return {
            "connected": self.link.connected,
            "broker": self._broker.describe() if self._broker else f"{options.host}:{options.port}",
            "embedded": self._broker is not None,
            "host": options.host,
            "port": options.port,
            "link_error": _parts_of(self.uplink.error),
            "trouble": str(self.trouble) if self.trouble else None,
            **self._keeper.facts(),
            "uptime_seconds": round(time.time() - self._started_at, 1),
            "waiting": self.left,
            "retrying": self.retries.open,
            "outbox": self.outbox.waiting,
            "sent": self.outbox.sent,
            "events": self.dispatcher.commits.events,
            "counts": dict(self.intake.counts),
            "nodes": len(self.roster),
            "switched_off": self.retries.breakers.open(),
            "plugins": {p.name: p.state for p in self.registry.plugins.values()},
        }

    # -- stop --------------------------------------------------------------------------------

    @property
    def left(self) -> int:
        """Events in memory that are not done."""
        return self.lanes.held + self.lanes.running

    async def stop(self) -> None:
        """Take nothing more, finish what was accepted within `shutdown_grace`, let go in order."""
        self.uplink.quiet = True
        self.intake.open = False  # reading goes on: what we publish is acknowledged there
        failpoint("stop.begun")
        await self.jobs.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.shutdown_grace):
                await self._finish()
        failpoint("stop.finished")
        self.dispatcher.accepting = False
        for plugin in self.registry.ready():
            await self._shut_down(plugin)
        failpoint("stop.plugins")
        await self._let_go()
        failpoint("stop.released")
        self.parts.careful.end()

    async def _finish(self) -> None:
        while self._at_work():  # noqa: ASYNC110 - five sources of work; a look each 10 ms is simpler
            await asyncio.sleep(0.01)
        if self.link.connected:
            await self.outbox.drain()

    def _at_work(self) -> bool:
        flowing = not self.intake.idle or not self.dispatcher.idle or self.left > 0
        return flowing or self.retries.under_way

    async def _shut_down(self, plugin: Plugin) -> None:
        bound = plugin.hooks.get("shutdown")
        if bound is None:
            return
        try:
            asked = self.runners.ask(plugin, bound, gateway=self.view)
            await asyncio.wait_for(asyncio.wrap_future(asked), 2.0)
        except Exception as error:  # noqa: BLE001 - a plugin's failure is its own
            log.warning("plugin %s: shutdown failed: %r", plugin.name, error)

    async def _let_go(self) -> None:
        """Undo what was taken, last first; what is left is in the store."""
        while self._undo:
            undo = self._undo.pop()
            try:
                await undo()
            except Exception:
                log.exception("letting go (%s) failed; it goes on", undo.__name__)
        self._lock.release()


def _parts_of(error: GatewayError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    words = {"what": error.what, "why": error.why, "next": error.hint}
    return {**words, "exit_code": error.exit_code}
