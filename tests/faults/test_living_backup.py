"""The machine is gone, or its database is: a MicroPython node that nobody touches is back by itself."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.cli.fleet import Broker, Fleet
from gateway.store.backup.archive import listed
from gateway.testing.broker import Mosquitto, free_port
from gateway.testing.process import GatewayProcess, until

SENSOR = {"name": "t", "type": "SENSOR", "metric": "TEMPERATURE", "poll_interval_ms": 5000}
SECTIONS = {"mqtt": {"configured": True}, "wifi": {"configured": True}}


class Site:
    """A gateway, its mosquitto, and one real node with its files, which outlive both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.broker = Mosquitto(folder / "broker-1", port=self.port).start()
        self.state = folder / "state"
        self.gateway = self.new_gateway()
        self.fleet = Fleet(folder / "nodes", 1, Broker("127.0.0.1", self.port))
        self.name = self.fleet.hardware_ids[0]

    def new_gateway(self, **env: str) -> GatewayProcess:
        """One on the same folder and port."""
        return GatewayProcess(self.state, self.port, env=env)

    def registered(self) -> None:
        """Start everything, give the node its first config, and wait until it has proved it."""
        self.gateway.start()
        self.fleet.start()
        until(lambda: self.is_online, 60, "the node is online")
        self.push(1)

    def push(self, revision: int) -> None:
        """Push a config; it becomes this revision and is verified by the node."""
        path = self.folder / "config.json"
        interval = 5000 + revision
        path.write_text(
            json.dumps({"channels": [{**SENSOR, "poll_interval_ms": interval}], **SECTIONS})
        )
        done = self.gateway.command("config", "push", self.name, str(path))
        assert done.returncode == 0, done.stderr
        until(lambda: self.desired == [(revision, "verified")], 60, f"{self.desired}")

    @property
    def is_online(self) -> bool:
        """True where the node is registered and lives."""
        node = self.gateway.node(self.name) or {}
        return (node.get("life"), node.get("lifecycle_state")) == ("online", "REGISTERED_BACKEND")

    @property
    def desired(self) -> list[tuple[object, ...]]:
        """Revision and state of the node's config."""
        return self.gateway.rows("SELECT revision, state FROM config_desired")

    def secrets(self) -> list[tuple[object, ...]]:
        """The node's secret, and under which key its last report was signed."""
        return self.gateway.rows(
            "SELECT secret, proof FROM nodes JOIN config_reported ON node_id = nodes.id"
        )

    def beats_after(self, at: float) -> bool:
        """True where a proof of life came after this time."""
        return bool(
            self.gateway.rows("SELECT 1 FROM nodes WHERE life = 'online' AND last_seen_at > ?", at)
        )

    def last_seen(self) -> float:
        """The last proof of life that the store has."""
        return float(self.gateway.rows("SELECT max(last_seen_at) FROM nodes")[0][0])

    def close(self) -> None:
        """End everything."""
        self.fleet.stop()
        self.gateway.__exit__(None, None, None)
        self.broker.stop()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site of its own."""
    made = Site(tmp_path)
    yield made
    made.close()


def test_restore_on_an_empty_machine_touches_no_node(site: Site) -> None:
    """Gateway and broker are gone with their disks; the backup alone brings the fleet back: online,
    its secret right, its config verified, and the next revision is the next number."""
    site.registered()
    usb = site.folder / "usb.zip"
    done = site.gateway.command("backup", "create", "-o", str(usb))
    assert done.returncode == 0, done.stderr
    secrets, seen = site.secrets(), site.last_seen()
    assert secrets[0][1] == "secret"
    site.gateway.kill()
    site.broker.kill()
    shutil.rmtree(site.state)

    site.broker = Mosquitto(site.folder / "broker-2", port=site.port).start()
    done = site.gateway.command("backup", "restore", str(usb))
    assert done.returncode == 0, done.stderr
    site.gateway.start()
    until(lambda: site.beats_after(seen), 60, "a sign of life after the restore")
    assert site.desired == [(1, "verified")]
    site.push(2)
    assert site.secrets() == secrets
    assert site.gateway.rows("SELECT count(*) FROM nodes") == [(1,)]
    assert site.gateway.rows("SELECT 1 FROM refused") == []


def _not_sqlite(path: Path) -> None:
    path.write_bytes(b"my notes\n" * 5000)


def _half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _nothing(path: Path) -> None:
    os.truncate(path, 0)


def _bad_pages(path: Path) -> None:
    body = bytearray(path.read_bytes())
    for page in range(2, len(body) // 4096):
        body[page * 4096 : page * 4096 + 200] = os.urandom(200)
    path.write_bytes(body)


@pytest.mark.parametrize("spoil", [_not_sqlite, _half, _nothing, _bad_pages])
def test_a_damaged_store_goes_back_to_the_last_backup(
    site: Site, spoil: Callable[[Path], None]
) -> None:
    """The gateway starts all the same: the damaged file is kept, the newest good backup takes its
    place, log, `status` and an event say so, and the node goes on as if nothing had been."""
    site.gateway = site.new_gateway(GATEWAY__BACKUP__EVERY="1", GATEWAY__BACKUP__KEEP="2")
    site.registered()
    folder = site.state / "backups"
    known = len(listed(folder)) and listed(folder)[0].name
    until(lambda: len([p for p in listed(folder) if p.name > str(known)]) >= 2, 20, "two backups")
    secrets, seen = site.secrets(), site.last_seen()
    site.gateway.kill()
    path = site.state / "gateway.db"
    _checkpoint(path)
    spoil(path)
    os.truncate(listed(folder)[0], 500)  # the newest is damaged too: the one before it serves
    good = listed(folder)[1].name
    spoilt = path.read_bytes()

    site.gateway = site.new_gateway()
    site.gateway.start()
    until(lambda: site.beats_after(seen), 60, "a sign of life after the damage")
    site.push(2)
    assert site.secrets() == secrets
    (kept,) = site.state.glob("gateway.db.corrupt-*Z")
    assert kept.read_bytes() == spoilt
    for words in (f"it is kept as {kept.name}", f"went back to {good}"):
        assert words in site.gateway.output
        assert words in site.gateway.command("status").stdout
        assert words in site.gateway.command("events", "--kind", "store").stdout


def test_without_a_backup_a_new_store_is_begun(site: Site) -> None:
    """The node registers itself again at its next connection, as after a power cut of the machine."""
    site.registered()
    site.gateway.kill()
    path = site.state / "gateway.db"
    _checkpoint(path)
    _not_sqlite(path)
    site.broker.restart()
    site.gateway.start()
    until(lambda: site.is_online, 90, "the node is registered anew")
    assert "nodes register themselves again" in site.gateway.output
    assert len(list(site.state.glob("gateway.db.corrupt-*Z"))) == 1


def _checkpoint(path: Path) -> None:
    """Everything into the main file: the damage hits all of it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
