"""The store at the start: looked over, brought to this version, and what the last run left in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.errors import PluginError, SettingsError
from gateway.failpoint import failpoint
from gateway.flow.work import Ids
from gateway.host.registry import Plugin, Registry
from gateway.service.keeper import Keeper
from gateway.settings.model import Settings
from gateway.store import journal, migrations, outbox
from gateway.store.nodes import Roster
from gateway.store.reader import Reader
from gateway.store.sqlite import Connection, explained, open_writer
from gateway.store.writer import Writer

DATABASE = "gateway.db"
OnTrouble = Callable[[Exception | None], None]


class Opened:
    """The plugins, the registry and the writer of one run, and what it has to go on with."""

    def __init__(self, settings: Settings, folder: Path, keeper: Keeper) -> None:
        """Raises GatewayError where the store cannot be used."""
        _refuse_urls(settings)
        self._path = folder / DATABASE
        self._level = settings.store.synchronous
        with explained(self._path):
            self._connection = keeper.open(self._connect)
            self.registry = Registry.load(settings)
            keeper.before_migrations(self._connection, self.registry.ready())
            migrations.migrate_core(self._connection)
            for plugin in self.registry.ready():
                self._migrate(plugin)
            keeper.after_migrations(self._connection)
            failpoint("start.migrated")
            self._load(self._connection)
        self.reader = Reader(self._path)

    def _load(self, connection: Connection) -> None:
        self.roster = Roster()
        self.roster.load(connection)
        self.ids = Ids.load(connection)
        self.waiting = journal.waiting_lanes(connection)
        self.deliveries = journal.open_deliveries(connection)
        self.parcels = outbox.waiting(connection)
        self.filters: list[tuple[str, str]] = connection.execute(
            "SELECT session, filter FROM subscriptions"
        ).fetchall()

    def begin(self, on_trouble: OnTrouble) -> None:
        """From here on the writer's thread owns the connection."""
        self.writer = Writer(self._connect, on_trouble=on_trouble)
        self.writer.start(self._connection)

    async def close(self) -> None:
        """Commit what is queued, and let go."""
        await self.writer.close()
        failpoint("stop.store_closed")
        self.reader.close()

    def _connect(self) -> Connection:
        return open_writer(self._path, self._level)

    def _migrate(self, plugin: Plugin) -> None:
        if plugin.migrations is None:
            return
        try:
            migrations.migrate_plugin(self._connection, plugin.name, plugin.migrations)
        except PluginError as error:
            self.registry.disable(plugin.name, f"{error.what}: {error.why}")


def _refuse_urls(settings: Settings) -> None:
    if settings.store.url:
        raise SettingsError(
            "[store] url: other stores than SQLite are not built yet",
            why="this version keeps its store in state_dir",
            hint='leave it empty: [store] url = ""',
        )
