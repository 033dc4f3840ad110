"""The composition root: builds each object once, wires them, starts and stops them in order.

Everything in here runs on the gateway's own loop (rule 14). `mqtt` and `store` never meet: the link
hands its lists to the intake, and acknowledges what the intake says is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from gateway.broker.choose import choose
from gateway.broker.embedded import EmbeddedBroker
from gateway.errors import PluginError
from gateway.flow.calls import Runners
from gateway.flow.dispatch import Dispatcher
from gateway.flow.filters import matches, reduce
from gateway.flow.handlers import PREFIX, Handler, Handlers
from gateway.flow.intake import Intake
from gateway.flow.jobs import Jobs
from gateway.flow.lanes import Lanes
from gateway.flow.operator import Operator
from gateway.flow.outbox import Outbox
from gateway.flow.parts import Parts
from gateway.flow.retries import Retries
from gateway.flow.view import HostView
from gateway.flow.work import Effect, Gathered, Ids, Unit
from gateway.host.registry import Plugin, Registry
from gateway.mqtt.client import Link, LinkOptions, LinkState
from gateway.protocol.topics import Topics
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

    def __init__(self, settings: Settings, story: Story) -> None:
        self.settings = settings
        self.folder = Path(settings.state_dir).expanduser()
        self.story = story
        self.trouble: Exception | None = None
        self.started_at = time.time()
        self._lock = StateLock(self.folder)
        self._tasks: list[asyncio.Task[None]] = []
        self._broker: EmbeddedBroker | None = None
        self._stopping = False
        self._link_state: LinkState | None = None
        self._went_at: float | None = None

    # -- start -------------------------------------------------------------------------------

    async def start(self, handlers: list[Handler]) -> None:
        """Open the store, load the plugins, take up what was left, then open the link."""
        self._lock.take()
        try:
            await self._start_store()
            await self._start_flow(handlers)
            await self._start_link()
        except BaseException:
            await self.abort()
            raise

    async def _start_store(self) -> None:
        path = self.folder / DATABASE
        level = self.settings.store.synchronous

        def open_connection() -> Connection:
            return open_writer(path, level)

        connection = open_connection()
        migrations.migrate_core(connection)
        self.registry = Registry.load(self.settings)
        for plugin in self.registry.ready():
            self._migrate(connection, plugin)
        self.roster = Roster()
        self.roster.load(connection)
        self.ids = Ids.load(connection)
        self._waiting = journal.waiting_lanes(connection)
        self._open = journal.open_deliveries(connection)
        self._parcels = outbox_rows.waiting(connection)
        self._filters = connection.execute("SELECT session, filter FROM subscriptions").fetchall()
        self.reader = Reader(path)
        self.writer = Writer(open_connection, on_trouble=self._on_trouble)
        self.writer.start(connection)

    def _migrate(self, connection: Connection, plugin: Plugin) -> None:
        if plugin.migrations is None:
            return
        try:
            migrations.migrate_plugin(connection, plugin.name, plugin.migrations)
        except PluginError as error:
            self.registry.disable(plugin.name, f"{error.what}: {error.why}")

    async def _start_flow(self, handlers: list[Handler]) -> None:
        settings, loop = self.settings, asyncio.get_running_loop()
        times = settings.handlers
        self.parts = parts = Parts(
            self.registry, self.roster, self.reader, self.writer, self.ids,
            root=settings.mqtt.root, limits=settings.limits,
        )  # fmt: skip
        self.runners = parts.runners = Runners(loop, self._report, times.budget)
        parts.handlers = Handlers(self.runners, loop, self._report)
        parts.handlers.restore(
            (name, pattern) for name, pattern in self._filters if name.startswith(PREFIX)
        )
        for handler in handlers:
            parts.handlers.add(handler)
        parts.outbox = self.outbox = Outbox(self.writer, self._publish, self.roster.get)
        parts.retries = self.retries = Retries(
            parts, attempts=times.attempts, backoff=times.backoff, backoff_max=times.backoff_max
        )
        self.retries.breaker_failures = times.breaker_failures
        self.lanes = Lanes(
            self._read_lane, self._kick,
            window=settings.limits.window, lane_window=settings.limits.lane_window,
        )  # fmt: skip
        self.dispatcher = Dispatcher(parts, self.lanes, self.runners, times.gather)
        self.retries.dispatcher = self.dispatcher
        self.intake = Intake(parts, self.lanes, self._ack, keep_refused=settings.store.refused_keep)
        self.intake.on_full = self._on_full
        self.operator = Operator(parts, self.intake, self.lanes)
        self.operator.facts = self.facts
        self.view = HostView(self.settings, parts, self)
        self.jobs = Jobs(parts, self.lanes, self.view, times.budget)
        parts.on_event = self._on_event
        self.link = Link(self._link_options(), on_messages=self.intake.take, on_state=self._on_link)
        parts.observed = self.link.observed
        await self._start_plugins()
        self.lanes.restore(self._waiting)
        for lane, plugin, count in self._open:
            self.retries.opened(lane, plugin, count)
        self.outbox.restore(self._parcels)
        self.dispatcher.kick()
        self._every(0.05, self._sweep)
        self._every(0.15, self._look_for_commands)
        self._every(30.0, self._prune)
        self.jobs.start(self.registry.ready())

    async def _start_plugins(self) -> None:
        for plugin in self.registry.ready():
            bound = plugin.hooks.get("startup")
            if bound is None:
                continue
            asked = self.runners.ask(plugin, bound, gateway=self.view, config=plugin.config)
            try:
                await asyncio.wait_for(asyncio.wrap_future(asked), self.settings.handlers.budget)
            except Exception as error:  # noqa: BLE001 - a plugin's failure is its own
                self.registry.disable(plugin.name, f"startup failed: {error!r}")
                log.error("plugin %s: startup failed, it stays off: %r", plugin.name, error)

    async def _start_link(self) -> None:
        names = ", ".join(f"{p.name} {p.version}" for p in self.registry.ready())
        target = await asyncio.to_thread(choose, self.settings, self.folder)
        if target.embedded:
            self._broker = EmbeddedBroker(self.folder / "broker", port=target.port)
            await self._broker.start()
            target = target.at(self._broker.port)
            self.story("broker", self._broker.describe())
        else:
            self.story("broker", f"{target.host}:{target.port}")
        self.story(
            "gateway",
            f"{len(self.registry.ready())} plugins ({names}), store {self.folder / DATABASE}",
        )
        for plugin in self.registry.plugins.values():
            if plugin.state == "failed":
                self.story("plugin", f"{plugin.name} is off: {plugin.error}")
        self.link.options = self._link_options(target.host, target.port, embedded=target.embedded)
        await self._keep_filters()
        await self.link.start()

    def _link_options(
        self, host: str = "", port: int = 0, *, embedded: bool = False
    ) -> LinkOptions:
        mqtt = self.settings.mqtt
        wanted = self.wanted_filters()
        stale = {
            session: [
                old for s, old in self._filters if s == session and old not in wanted[session]
            ]
            for session in wanted
        }
        return LinkOptions(
            host=host, port=port, username=mqtt.username, password=mqtt.password, tls=mqtt.tls,
            tls_ca=mqtt.tls_ca, tls_cert=mqtt.tls_cert, tls_key=mqtt.tls_key,
            tls_hostname_check=mqtt.tls_hostname_check, root=mqtt.root, version=mqtt.version,
            keepalive=mqtt.keepalive, client_id=mqtt.client_id or self._client_id(),
            filters=wanted, stale_filters=stale, barrier_per_filter=embedded,
        )  # fmt: skip

    def _client_id(self) -> str:
        """Made once: persistent sessions find their gateway by it."""
        path = self.folder / "client_id"
        if not path.exists():
            path.write_text(f"hellogate-{secrets.token_hex(4)}\n")
        return path.read_text().strip()

    def wanted_filters(self) -> dict[str, list[str]]:
        """What to subscribe to, in two sessions, without overlap (rule 6)."""
        topics = Topics(self.settings.mqtt.root)
        bulk: list[str] = []
        control: list[str] = list(self.parts.handlers.patterns())
        for kind, cls in self.registry.message_types().items():
            is_bulk = cls.durability == "latest" or kind == "telemetry"
            (bulk if is_bulk else control).extend(topics.filters(kind, cls.per_channel))
        return {"control": reduce(control), "bulk": reduce(bulk)}

    async def _keep_filters(self) -> None:
        """Remember what is subscribed, so that a later run can unsubscribe what nobody wants."""
        rows = [(s, f) for s, filters in self.wanted_filters().items() for f in filters]
        rows += [(h.name, h.pattern) for h in self.parts.handlers.all()]

        def write(connection: Connection) -> None:
            connection.execute("DELETE FROM subscriptions")
            connection.executemany("INSERT OR IGNORE INTO subscriptions VALUES (?, ?)", rows)

        await self.writer.submit(write)

    # -- while it runs -----------------------------------------------------------------------

    async def add_handler(self, handler: Handler) -> None:
        """A handler that was subscribed while the gateway runs, or has come back."""
        before = self.wanted_filters()
        self.parts.handlers.add(handler)
        after = self.wanted_filters()
        await self._keep_filters()
        for session, filters in after.items():
            new = [f for f in filters if f not in before[session]]
            old = [f for f in before[session] if f not in filters]
            if new:
                await self.link.subscribe(session, new)
            if old:
                await self.link.unsubscribe(session, old)

    async def publish(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Queue a message of the application."""
        tx = Gathered(self.reader, self.roster)
        tx.publish_json(topic, payload)
        effect = Effect("app", tx, 0, self.ids, time.time())
        replaced = await self.writer.submit(lambda c: outbox_rows.put(c, effect.parcels))
        self.outbox.push(effect.parcels, replaced)

    def is_second_copy(self, session: str, topic: str) -> bool:
        """True where the other session brings this message too (a handler's wide filter)."""
        if session != "control":
            return False
        return any(matches(f, topic) for f in self.link.options.filters["bulk"])

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
        if not hasattr(self, "_watch"):
            self._watch = commands.CommandWatch(self.folder / commands.NAME)
        for asked in self._watch.look():
            self.operator.take(asked)

    async def _prune(self) -> None:
        before = time.time() - self.settings.store.prune_done_after
        keep = self.settings.store.prune_done_rows
        while await self.writer.submit(lambda c: journal.prune(c, before, keep)) >= 2000:
            await asyncio.sleep(0.05)

    def _read_lane(self, lane: str, after: int, limit: int) -> list[journal.Row]:
        return journal.next_of_lane(self.reader.connection(), lane, after, limit)

    def _kick(self) -> None:
        self.dispatcher.kick()

    def _report(self, deliveries: list[Any]) -> None:
        self.dispatcher.report(deliveries)

    def _ack(self, tokens: list[Any]) -> None:
        self.link.ack(tokens)

    async def _publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        await self.link.publish(topic, payload, qos=qos, retain=retain)

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
        if error is not None:
            log.error(
                "the store cannot be written (%s); nothing is acknowledged until it can", error
            )
            self.story("trouble", f"the store cannot be written: {error}")
        else:
            log.warning("the store can be written again")
            self.story("trouble", "the store can be written again")

    def _on_link(self, state: LinkState) -> None:
        """Said once when it goes, once when it is back."""
        before, self._link_state = self._link_state, state
        self.outbox.connected(state.connected)
        if state.connected and self._went_at is not None:
            gone = time.monotonic() - self._went_at
            self._went_at = None
            self.story(
                "back",
                f"broker back after {gone:.0f} s; {self.outbox.waiting} messages were waiting",
            )
        elif not state.connected and not self._stopping:
            was = before is None or before.connected
            if was and self._went_at is None:
                self._went_at = time.monotonic()
            if state.error is not None and (before is None or before.error is None or was):
                self.story("lost", str(state.error))

    def facts(self) -> dict[str, Any]:
        """What `status` shows of the running gateway."""
        counts = dict(self.intake.counts)
        return {
            "connected": self.link.connected,
            "trouble": str(self.trouble) if self.trouble else None,
            "uptime_seconds": round(time.time() - self.started_at, 1),
            "waiting": self.lanes.held + self.lanes.running,
            "retrying": self.retries.open,
            "outbox": self.outbox.waiting,
            "sent": self.outbox.sent,
            "events": self.dispatcher.events,
            "counts": counts,
            "nodes": len(self.roster),
            "switched_off": self.retries.switched_off(),
            "plugins": {p.name: p.state for p in self.registry.plugins.values()},
            "broker": self._broker.describe()
            if self._broker
            else f"{self.link.options.host}:{self.link.options.port}",
        }

    # -- stop --------------------------------------------------------------------------------

    @property
    def left(self) -> int:
        """Events in memory that are not done."""
        return self.lanes.held + self.lanes.running

    async def stop(self) -> None:
        """Take nothing more, finish what was accepted within `shutdown_grace`, let go in order."""
        self._stopping = True
        self.link.pause()
        await self.jobs.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.shutdown_grace):
                while self._at_work():
                    await asyncio.sleep(0.01)
                if self.link.connected:
                    await self.outbox.drain()
        self.dispatcher.accepting = False
        await self.retries.stop()
        for plugin in self.registry.ready():
            await self._shut_down(plugin)
        await self.abort()

    def _at_work(self) -> bool:
        return not (
            self.intake.idle
            and self.dispatcher.idle
            and self.lanes.running == 0
            and self.lanes.held == 0
            and not self.retries.under_way
        )

    async def _shut_down(self, plugin: Plugin) -> None:
        bound = plugin.hooks.get("shutdown")
        if bound is None:
            return
        try:
            asked = self.runners.ask(plugin, bound, gateway=self.view)
            await asyncio.wait_for(asyncio.wrap_future(asked), 2.0)
        except Exception as error:  # noqa: BLE001 - a plugin's failure is its own
            log.warning("plugin %s: shutdown failed: %r", plugin.name, error)

    async def abort(self) -> None:
        """Let go of everything that was taken, in whatever state; what is left is in the store."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if hasattr(self, "link"):
            await self.outbox.stop()
            await self.link.stop()
        if hasattr(self, "_watch"):
            self._watch.close()
        if hasattr(self, "runners"):
            await asyncio.to_thread(self.runners.stop)
            await asyncio.to_thread(self.parts.handlers.stop)
        if hasattr(self, "writer"):
            await self.writer.close()
            self.reader.close()
        if self._broker is not None:
            await self._broker.stop()
        self._lock.release()
