"""Keeps the store: looks it over at the start, and makes backups by itself.

Rules of this file. Before a migration there is a backup, or no migration. A backup by the clock runs
on a thread of its own beside everything; one that fails is said once, and is tried again. The clock
may be wrong on a board without a battery: a newest backup from the future makes the next one due.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gateway.errors import GatewayError, StoreError
from gateway.host.registry import Plugin
from gateway.settings.model import Settings
from gateway.store import migrations
from gateway.store.backup import archive, health
from gateway.store.backup.plan import DATABASE, plan
from gateway.store.sqlite import Connection

log = logging.getLogger(__name__)
LOOK = 30.0
_FIRST = 600.0
"""The first backup ever waits for so many seconds, so that a look at the gateway leaves none."""


class Keeper:
    """One store's."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        files: Sequence[Path],
        story: Callable[[str, str], None],
    ) -> None:
        self._settings = settings.backup
        self._state_dir = folder
        self._files = files
        self._story = story
        self._healed: health.Healed | None = None
        self._began = time.monotonic()
        self.folder = backups_folder(settings, folder)
        self.error = ""
        """Why the last backup by the clock could not be made."""

    def open(self, connect: Callable[[], Connection]) -> Connection:
        """The store's connection; a damaged store is set aside first. Raises StoreError."""
        path = self._state_dir / DATABASE
        why = health.damage(path, self.folder)
        if why:
            self._healed = health.heal(path, self.folder, why)
            log.error("%s", self._healed)
        return connect()

    def before_migrations(self, connection: Connection, plugins: Sequence[Plugin]) -> None:
        """Make a backup where tables are about to be changed. Raises StoreError where that fails."""
        if not _due(connection, plugins):
            return
        try:
            made = self._make("migration")
        except GatewayError as error:
            raise StoreError(
                "the store is of an older version and was not changed",
                why=f"the backup before it failed: {error.what} ({error.why})",
                hint=f"make space in {self.folder}, or set [backup] folder to another disk",
            ) from error
        self._story("store", f"of an older version; backup before the change: {made.file.name}")

    def after_migrations(self, connection: Connection) -> None:
        """Tell what was done about a damaged store, and take over what can be read of it."""
        if self._healed is not None:
            taken = health.take_over(connection, self._healed)
            more = f"; {taken} messages that waited in it were taken over" if taken else ""
            self._story("store", f"{self._healed}{more}")

    async def look(self) -> None:
        """Make the daily backup where it is due."""
        if self.due(time.time()):
            await asyncio.to_thread(self._by_the_clock)

    def due(self, now: float) -> bool:
        """True where the newest backup of the clock is too old."""
        every = self._settings.every
        if every <= 0:
            return False
        mine = [p for p in archive.listed(self.folder) if p.name.endswith("-daily.zip")]
        if not mine:
            return time.monotonic() - self._began >= min(every, _FIRST)
        return not 0 <= now - archive.made_at(mine[0]) < every

    def facts(self) -> dict[str, Any]:
        """What `status` shows."""
        return {"backup_error": self.error or None}

    def _by_the_clock(self) -> None:
        try:
            made = self._make("daily")
        except GatewayError as error:
            if not self.error:
                text = f"{error.what} ({error.why}). next: {error.hint}"
                log.error("no backup: %s", text)  # noqa: TRY400 - it says where and why; no trace helps
            self.error = error.what
        else:
            self.error = ""
            log.info("backup %s: %d nodes", made.file, made.nodes)

    def _make(self, kind: str) -> archive.Backup:
        made = archive.create(plan(self._state_dir, self._files, kind=kind), self.folder)
        archive.prune(self.folder, kind, self._settings.keep)
        return made


def _due(connection: Connection, plugins: Sequence[Plugin]) -> bool:
    if migrations.core_version(connection) == 0:
        return False  # it is being made
    return bool(migrations.core_due(connection)) or any(
        plugin.migrations and migrations.plugin_due(connection, plugin.name, plugin.migrations)
        for plugin in plugins
    )


def backups_folder(settings: Settings, state_dir: Path) -> Path:
    """`[backup] folder`, or `backups` in the state folder."""
    given = settings.backup.folder
    return Path(given).expanduser() if given else state_dir / archive.FOLDER
