"""An upgrade that is killed at every statement, by real SIGKILLs; and the way back that is refused.

There is one schema today, so tomorrow's is made here: the real files and one more behind them, run by
the real start of the gateway. The tables that change are the core's own and a plugin's.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from gateway.store import migrations
from gateway.store.backup.archive import listed, read
from gateway.testing.broker import free_port

# what a table that changes its form has to go through in SQLite: the most that a migration does
NEXT_CORE = """
-- the next schema
CREATE TABLE refused_new (id INTEGER PRIMARY KEY, at REAL NOT NULL, why TEXT NOT NULL);
INSERT INTO refused_new SELECT id, at, word || ': ' || detail FROM refused;
DROP TABLE refused;
ALTER TABLE refused_new RENAME TO refused;
ALTER TABLE nodes ADD COLUMN site TEXT NOT NULL DEFAULT '';
UPDATE nodes SET site = 'here; there' WHERE uid IS NOT NULL;
"""
NEXT_PLUGIN = "ALTER TABLE door_a ADD COLUMN m;\nUPDATE door_a SET m = n + 1;"
PLUGIN = """
from pathlib import Path
from gateway import Manifest, hookimpl

@hookimpl
def manifest():
    return Manifest(version="1.0", migrations="door_migrations")
"""
# the gateway as it starts, with tomorrow's folder of migrations; it stops where the link would begin
CHILD = """
import sys
from pathlib import Path
from gateway.store import migrations
migrations.CORE = Path(sys.argv[1])
from gateway.cli import main
sys.argv[1:] = ["--state-dir", sys.argv[2], "run"]
main()
"""


class Upgrade:
    """A store of today, and the gateway of tomorrow."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.core = folder / "core"
        self.plugins = folder / "plugins"
        self.plugin_sql = self.plugins / "door_migrations"
        self.plugin_sql.mkdir(parents=True)
        self.core.mkdir()
        (self.plugins / "door.py").write_text(PLUGIN)
        (self.plugin_sql / "0001_a.sql").write_text("CREATE TABLE door_a (n)")
        for file in migrations.CORE.glob("*.sql"):
            (self.core / file.name).write_text(file.read_text())

    def tomorrow(self) -> None:
        """The next version is installed."""
        (self.core / "0002_next.sql").write_text(NEXT_CORE)
        (self.plugin_sql / "0002_next.sql").write_text(NEXT_PLUGIN)

    def yesterday(self) -> None:
        """And is taken back."""
        (self.core / "0002_next.sql").unlink()

    def start(self, fail: str = "") -> subprocess.CompletedProcess[str]:
        """Start until the migrations are over (or it dies there)."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY")}
        env |= {
            "GATEWAY_CONFIG": os.devnull,
            "GATEWAY__PLUGINS__DIRS": f'["{self.plugins}"]',
            "GATEWAY__BROKER__MODE": "external",
            "GATEWAY__MQTT__HOST": "127.0.0.1",
            "GATEWAY__MQTT__PORT": str(free_port()),
            "HELLOGATE_FAILPOINT": f"{fail};start.migrated=kill",
        }
        return subprocess.run(
            [sys.executable, "-c", CHILD, str(self.core), str(self.state)],
            env=env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def fill(self) -> None:
        """What an older life left."""
        assert self.start().returncode == -signal.SIGKILL
        with self.open() as connection:
            connection.execute("INSERT INTO refused VALUES (1, 2.0, 't', 'p', 'topic', 'bad')")
            connection.execute(
                "INSERT INTO nodes (id, uid, created_at, updated_at) VALUES (1, 'nd-1', 1, 1)"
            )
            connection.execute("INSERT INTO door_a VALUES (7)")
            connection.commit()

    def open(self) -> closing[sqlite3.Connection]:
        """Its store."""
        return closing(sqlite3.connect(self.state / "gateway.db"))

    def version(self) -> tuple[int, int]:
        """The schema of the core and of the plugin; every row is where its schema wants it."""
        with self.open() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            core = migrations.core_version(connection)
            (plugin,) = connection.execute(
                "SELECT schema_version FROM plugins WHERE name = 'door'"
            ).fetchone()
            refused = connection.execute("SELECT * FROM refused").fetchall()
            nodes = connection.execute("SELECT * FROM nodes").fetchall()
            door = connection.execute("SELECT * FROM door_a").fetchall()
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        assert "refused_new" not in tables
        if core == 1:
            assert refused == [(1, 2.0, "t", "p", "topic", "bad")]
        else:
            assert refused == [(1, 2.0, "topic: bad")]
            assert nodes[0][-1] == "here; there"
        assert door == ([(7,)] if plugin == 1 else [(7, 8)])
        return core, plugin


@pytest.fixture
def upgrade(tmp_path: Path) -> Upgrade:
    """A store that has something in it."""
    made = Upgrade(tmp_path)
    made.fill()
    return made


STEPS = len(list(migrations.statements(NEXT_CORE))) + 1 + 3  # statements and marks of both files


def test_an_upgrade_survives_a_kill_at_every_statement(upgrade: Upgrade) -> None:
    """SIGKILL before, behind and at each of its statements: the store is whole, of the old or of the new
    schema, and the next start goes on from there until it is through."""
    upgrade.tomorrow()
    old = shutil.copytree(upgrade.state, upgrade.folder / "old")
    seen = set()
    places = [f"migrate.statement=kill@{n}" for n in range(1, STEPS + 1)]
    places += [f"migrate.{end}=kill@{n}" for end in ("before", "after") for n in (1, 2)]
    for place in places:
        shutil.rmtree(upgrade.state)
        shutil.copytree(old, upgrade.state)
        done = upgrade.start(place)
        assert done.returncode == -signal.SIGKILL, done.stderr
        before = upgrade.version()
        seen.add(before)
        assert before != (2, 2) or place == "migrate.after=kill@2", place
        upgrade.start()
        assert upgrade.version() == (2, 2), place
    assert seen == {(1, 1), (2, 1), (2, 2)}


def test_it_happens_once_and_a_backup_was_made_before(upgrade: Upgrade) -> None:
    """The backup holds the old schema; a second start changes nothing and makes none."""
    upgrade.tomorrow()
    upgrade.start()
    assert upgrade.version() == (2, 2)
    (made,) = listed(upgrade.state / "backups")
    assert made.name.endswith("-migration.zip")
    assert (read(made).schema, read(made).nodes) == (1, 1)
    upgrade.start()
    assert listed(upgrade.state / "backups") == [made]


def test_without_a_backup_nothing_is_changed(upgrade: Upgrade) -> None:
    """Where it cannot be made the start ends with 74 and three lines, and the store is as it was."""
    upgrade.tomorrow()
    (upgrade.state / "backups").write_text("in the way")
    done = upgrade.start()
    assert done.returncode == 74
    assert [line.split(":")[0] for line in done.stderr.splitlines()[-3:]] == [
        "error",
        "why",
        "next",
    ]
    assert "was not changed" in done.stderr
    assert upgrade.version() == (1, 1)


def test_a_downgrade_is_refused(upgrade: Upgrade) -> None:
    """The gateway of before ends with 74 and says that a newer one was here; the store is untouched."""
    upgrade.tomorrow()
    upgrade.start()
    upgrade.yesterday()
    done = upgrade.start()
    assert done.returncode == 74
    assert "error: the database has schema 2, this gateway knows 1" in done.stderr
    assert "a newer gateway wrote it" in done.stderr
    assert upgrade.version() == (2, 2)


def test_an_older_plugin_stays_off(upgrade: Upgrade) -> None:
    """Its tables are of a newer version: it is switched off with the reason, and the gateway runs."""
    upgrade.tomorrow()
    upgrade.start()
    (upgrade.plugin_sql / "0002_next.sql").unlink()
    done = upgrade.start("start.plugins=kill")
    assert done.returncode == -signal.SIGKILL
    assert upgrade.version() == (2, 2)
    with upgrade.open() as connection:
        assert connection.execute("SELECT m FROM door_a").fetchall() == [(8,)]
