"""What the state machines on a real database file share: a folder of their own, and a new store in it."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine

from gateway.store import migrations
from gateway.store.sqlite import open_writer


@functools.cache
def new_store() -> bytes:
    """A database file with the core's tables, made once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gateway.db"
        connection = open_writer(path, "OFF")
        migrations.migrate_core(connection)
        connection.close()
        return path.read_bytes()


def lives(steps: int) -> settings:
    """A hundred of them, each of so many steps at most."""
    return settings(max_examples=100, stateful_step_count=steps, deadline=None)


class OnDisk(RuleBasedStateMachine):
    """A gateway's store through any number of its lives."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "gateway.db"
        self.path.write_bytes(new_store())
