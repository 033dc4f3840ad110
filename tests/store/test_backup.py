"""Backups: one file with everything, from a snapshot, and nothing touched before all of it is good."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import DataError, GatewayError, StoreError
from gateway.store import journal, migrations
from gateway.store.backup import archive
from gateway.store.backup.plan import DATABASE, Plan, plan
from gateway.store.backup.restore import restore, settle, verify
from gateway.store.sqlite import open_writer

SECRET = "5ec4e7" * 10


class Store:
    """A state folder with a store that is open, as under a running gateway."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.connection = open_writer(folder / DATABASE)
        migrations.migrate_core(self.connection)
        self.run(
            "INSERT INTO nodes (id, uid, hardware_id, secret, created_at, updated_at) "
            f"VALUES (1, 'nd-1', 'esp-1', '{SECRET}', 1, 1)"
        )

    def run(self, sql: str, *params: object) -> None:
        """One statement, committed."""
        self.connection.execute(sql, params)

    def message(self, number: int, **more: object) -> None:
        """A message in the journal that waits."""
        topic, payload = "hydro/a/b/c/event", b'{"n":%d}' % number
        values = {"klass": "journal", "crc": journal.checksum(topic, payload)} | more
        row = journal.Row(
            number, 1.0, 0.0, "control", str(values["klass"]), "event", "esp-1", topic, payload,
            int(str(values["crc"])),
        )  # fmt: skip
        journal.add(self.connection, [row])

    def backup(self, **options: object) -> archive.Backup:
        """Make one in the usual folder."""
        made = plan(self.folder, [], environ={}, **options)  # type: ignore[arg-type] # plan's own options
        return archive.create(made, self.folder / "backups")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with one node."""
    (tmp_path / "state").mkdir()
    made = Store(tmp_path / "state")
    (made.folder / "client_id").write_text("hellogate-1\n")
    yield made
    made.connection.close()


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def test_one_file_brings_everything_to_an_empty_machine(store: Store, tmp_path: Path) -> None:
    """Database, client id, settings, drop-ins and the files they name: all where they were, with
    their modes, and the machine had nothing of it."""
    home = tmp_path / "etc"
    (home / "gateway.d").mkdir(parents=True)
    files = [home / "gateway.toml", home / "gateway.d" / "10.toml"]
    files[0].write_text(f'[mqtt]\npassword = {{ file = "{home}/pw" }}\ntls_key = "{home}/key"\n')
    files[1].write_text("[mqtt]\nport = 1884\n")
    (home / "pw").write_text("broker-word")
    (home / "key").write_text("PRIVATE")
    (home / "key").chmod(0o600)
    files[0].chmod(0o640)
    made = archive.create(plan(store.folder, files, environ={}), store.folder / "backups")
    kept = shutil.copy(made.file, tmp_path / "usb.zip")
    before = {p: (p.read_bytes(), p.stat().st_mode) for p in (*files, home / "pw", home / "key")}
    store.connection.close()
    shutil.rmtree(home)
    shutil.rmtree(store.folder)

    written = restore(Path(kept), store.folder)
    assert set(before) < set(written)
    assert {p: (p.read_bytes(), p.stat().st_mode) for p in before} == before
    assert (store.folder / "client_id").read_text() == "hellogate-1\n"
    assert rows(store.folder / DATABASE, "SELECT secret FROM nodes") == [(SECRET,)]
    assert (store.folder / DATABASE).stat().st_mode & 0o777 == 0o600


def test_the_file_is_for_its_owner_alone(store: Store) -> None:
    """It holds the secrets of all nodes."""
    made = store.backup()
    assert made.file.stat().st_mode & 0o777 == 0o600
    assert made.file.parent.stat().st_mode & 0o777 == 0o700


def test_a_snapshot_while_somebody_writes(store: Store) -> None:
    """Two tables that are always changed together are equal in every backup, and writing goes on."""
    store.run("CREATE TABLE a (n)")
    store.run("CREATE TABLE b (n)")
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        with closing(open_writer(store.folder / DATABASE)) as connection:
            while not stop.is_set():
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO a VALUES (?)", (written,))
                connection.execute("INSERT INTO b VALUES (?)", (written,))
                connection.execute("COMMIT")
                written += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        seen = 0
        for _ in range(5):
            while written <= seen:
                time.sleep(0.001)
            seen = written
            made = store.backup()
            with zipfile.ZipFile(made.file) as zipped:
                zipped.extract(DATABASE, store.folder / "look")
            (a,) = rows(store.folder / "look" / DATABASE, "SELECT count(*), sum(n) FROM a")
            (b,) = rows(store.folder / "look" / DATABASE, "SELECT count(*), sum(n) FROM b")
            assert a == b
            assert int(str(a[0])) >= seen
    finally:
        stop.set()
        thread.join()


def test_without_secrets_there_are_none(store: Store, tmp_path: Path) -> None:
    """Not in a column, a document, a message, a free page, a settings file or a key; the file says what
    was left out, and everything else is there."""
    store.run("CREATE TABLE plug_docs (id INTEGER PRIMARY KEY, body TEXT)")
    store.run("CREATE TABLE plug_keys (name TEXT PRIMARY KEY, api_key TEXT) WITHOUT ROWID")
    nested = json.dumps({"wifi": json.dumps({"pass": SECRET})})
    for number, body in enumerate(
        (nested, json.dumps({"mqtt": {"configured": True}}), "{" + SECRET)
    ):
        store.run("INSERT INTO plug_docs VALUES (?, ?)", number, body)
    store.run("INSERT INTO plug_keys VALUES ('x', ?), ('y', '')", SECRET)
    store.run("INSERT INTO outbox VALUES (1, 1, 't', ?, '{}', NULL, NULL, 0, 0)", SECRET.encode())
    store.message(1)
    settings = tmp_path / "gateway.toml"
    (tmp_path / "pw").write_text(SECRET)
    settings.write_text(
        f'[mqtt]\nhost = "pi"\npassword = "{SECRET}"  # mine\n'
        f"[security]\nclaim_key = '{SECRET}'\n[plugins.x]\ntoken = {{ file = \"{tmp_path}/pw\" }}\n"
    )
    what = plan(store.folder, [settings], secrets=False, environ={"GATEWAY__MQTT__PORT": "1"})
    made = archive.create(what, tmp_path / "out")
    assert not made.secrets
    assert not archive.read(made.file).secrets
    assert str(tmp_path / "pw") in made.left_out
    with zipfile.ZipFile(made.file) as zipped:
        for info in zipped.infolist():
            assert SECRET.encode() not in zipped.read(info), info.filename
        zipped.extractall(tmp_path / "look")
        (text,) = (zipped.read(n).decode() for n in zipped.namelist() if n.endswith("gateway.toml"))
    assert 'host = "pi"' in text
    assert 'password = ""  # mine' in text
    look = tmp_path / "look" / DATABASE
    assert rows(look, "SELECT uid, secret FROM nodes") == [("nd-1", None)]
    assert rows(look, "SELECT id FROM plug_docs") == [(1,)]
    assert rows(look, "SELECT name FROM plug_keys") == [("y",)]
    assert verify(made.file).rows == 0


def test_settings_that_cannot_be_emptied_stay_out(store: Store, tmp_path: Path) -> None:
    """A secret over several lines is not guessed at: the whole file is left out, and named."""
    settings = tmp_path / "gateway.toml"
    settings.write_text(f'[mqtt]\npassword = """\n{SECRET}"""\n')
    made = archive.create(plan(store.folder, [settings], secrets=False, environ={}), tmp_path / "o")
    assert any(str(settings) in word for word in made.left_out)
    with zipfile.ZipFile(made.file) as zipped:
        assert not [name for name in zipped.namelist() if name.startswith("files/")]


def test_what_stands_in_no_file_is_named(store: Store, tmp_path: Path) -> None:
    """Secrets from the environment or from systemd cannot be in a backup: it says which."""
    settings = tmp_path / "gateway.toml"
    settings.write_text('[mqtt]\npassword = { env = "PW" }\n[security]\nclaim_key={credential="c"}')
    what = plan(store.folder, [settings], environ={"GATEWAY__MQTT__HOST": "pi", "HOME": "/"})
    assert list(what.left_out) == [
        "mqtt.password, which comes from env PW",
        "security.claim_key, which comes from credential c",
        "GATEWAY__MQTT__HOST of the environment",
    ]
    assert archive.create(what, tmp_path / "o").left_out == tuple(what.left_out)


def test_every_damage_is_noticed_or_harmless(store: Store, tmp_path: Path) -> None:
    """A byte that is not what it was, anywhere: the backup is refused and nothing is written, or what
    comes back is what went in."""
    store.message(1)
    made = store.backup()
    whole = made.file.read_bytes()
    good = tmp_path / "good"
    restore(made.file, good)
    wanted = (good / DATABASE).read_bytes()
    refused = 0
    broken = tmp_path / "broken.zip"
    for place in range(0, len(whole), 7):
        broken.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        target = tmp_path / "target"
        try:
            restore(broken, target)
        except GatewayError:
            refused += 1
            assert not (target / DATABASE).exists()
        else:
            assert (target / DATABASE).read_bytes() == wanted
        shutil.rmtree(target, ignore_errors=True)
    assert refused > len(whole) / 7 * 0.8


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_half_a_file_is_no_backup(store: Store, share: float) -> None:
    """What was cut off on its way is refused in words by `verify` and `restore`."""
    made = store.backup()
    os.truncate(made.file, int(made.file.stat().st_size * share))
    for look in (verify, archive.read):
        with pytest.raises(DataError, match="no backup, or a damaged one"):
            look(made.file)


def test_a_damaged_row_is_counted(store: Store) -> None:
    """A message whose bytes are not those of its CRC is told by `verify`."""
    store.message(1)
    store.message(2, crc=1)
    found = verify(store.backup().file)
    assert (found.rows, found.damaged) == (2, 1)


def test_a_damaged_store_makes_no_backup(store: Store) -> None:
    """The good ones of before are worth more: nothing is made, and nothing is pushed out."""
    store.run("CREATE TABLE big (t)")
    for _ in range(200):
        store.run("INSERT INTO big VALUES (?)", "x" * 1000)
    store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    store.connection.close()
    path = store.folder / DATABASE
    body = bytearray(path.read_bytes())
    body[-40 * 4096 : -4096] = os.urandom(39 * 4096)
    path.write_bytes(body)
    with pytest.raises(DataError, match="damaged"):
        store.backup()
    assert list((store.folder / "backups").iterdir()) == []


def test_a_newer_format_is_refused(store: Store) -> None:
    """A backup of a later gateway names the format, and is left alone."""
    made = store.backup()
    with zipfile.ZipFile(made.file) as old:
        says = json.loads(old.read(archive.MANIFEST)) | {"format": 2}
        body = old.read(DATABASE)
    with zipfile.ZipFile(made.file, "w") as new:
        new.writestr(DATABASE, body)
        new.writestr(archive.MANIFEST, json.dumps(says))
    with pytest.raises(DataError, match="format 2"):
        restore(made.file, store.folder)


def test_restore_overwrites_nothing(store: Store, tmp_path: Path) -> None:
    """What is there stops it before anything is written; with force it is moved aside and kept."""
    settings = tmp_path / "gateway.toml"
    settings.write_text("[mqtt]\nport = 1884\n")
    made = archive.create(plan(store.folder, [settings], environ={}), tmp_path / "out")
    settings.write_text("[mqtt]\nport = 1885\n")
    store.connection.close()
    old = (store.folder / DATABASE).read_bytes()
    with pytest.raises(StoreError, match="would be overwritten") as caught:
        restore(made.file, store.folder)
    assert str(settings) in caught.value.what
    assert settings.read_text() == "[mqtt]\nport = 1885\n"
    (store.folder / "commands.db").write_text("asked of another store")
    restore(made.file, store.folder, force=True)
    assert settings.read_text() == "[mqtt]\nport = 1884\n"
    (kept,) = store.folder.glob("gateway.db.before-restore-*Z")
    assert kept.read_bytes() == old
    assert [p.read_text() for p in tmp_path.glob("gateway.toml.before-*")] == [
        "[mqtt]\nport = 1885\n"
    ]
    assert not (store.folder / "commands.db").exists()


def test_a_wal_of_another_store_is_not_applied(store: Store, tmp_path: Path) -> None:
    """Where somebody removed the database and left its WAL, the restored one is as it was saved."""
    made = store.backup()
    store.run("UPDATE nodes SET uid = 'later'")
    shutil.copytree(store.folder, tmp_path / "other")
    (tmp_path / "other" / DATABASE).unlink()
    assert (tmp_path / "other" / f"{DATABASE}-wal").stat().st_size
    restore(made.file, tmp_path / "other")
    assert rows(tmp_path / "other" / DATABASE, "SELECT uid FROM nodes") == [("nd-1",)]


def test_a_restored_store_repeats_nothing(store: Store) -> None:
    """What waited to be sent is not sent, commands are not done again, messages are marked."""
    store.message(1)
    store.message(2, klass="command")
    store.run("INSERT INTO outbox VALUES (1, 1, 't', 'b', '{}', NULL, NULL, 0, 0)")
    settle(store.folder / DATABASE)
    found = store.connection.execute("SELECT id, state, flags FROM journal ORDER BY id").fetchall()
    assert found == [(1, 0, journal.REPLAYED), (2, 1, 0)]
    assert store.connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,)


def test_the_oldest_go_and_other_kinds_stay(store: Store) -> None:
    """Each kind is bounded for itself, by its number and not by a clock that may be wrong."""
    for _ in range(4):
        store.backup(kind="daily")
    store.backup()
    store.backup(kind="migration")
    folder = store.folder / "backups"
    gone = archive.prune(folder, "daily", 2)
    assert [path.name[8:14] for path in gone] == ["000002", "000001"]
    assert [path.name[8:14] for path in archive.listed(folder)] == [
        "000006", "000005", "000004", "000003",
    ]  # fmt: skip
    assert [path.name[8:14] for path in archive.prune(folder, "daily", 0)] == ["000003"]


def test_half_made_files_go(store: Store) -> None:
    """What a killed backup left is no backup, and is gone after the next one."""
    folder = store.folder / "backups"
    folder.mkdir()
    (folder / ".gateway-000001-20260101T000000Z-daily.zip.part").write_text("half")
    assert archive.listed(folder) == []
    made = store.backup()
    assert list(folder.iterdir()) == [made.file]


def _full(folder: Path) -> Plan:
    return plan(folder, [], environ={})


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda f: (f / DATABASE).unlink(), "there is no database"),
        (lambda f: (f / "backups").write_text("a file"), "cannot be written"),
    ],
)
def test_what_goes_wrong_is_said_in_three_parts(
    tmp_path: Path, spoil: Callable[[Path], object], error: str
) -> None:
    """What, why and what next, as everywhere."""
    (tmp_path / "s").mkdir()
    Store(tmp_path / "s").connection.close()
    spoil(tmp_path / "s")
    with pytest.raises(StoreError, match=error) as caught:
        archive.create(_full(tmp_path / "s"), tmp_path / "s" / "backups")
    assert caught.value.why
    assert caught.value.hint


def test_a_name_that_is_taken_stays(store: Store, tmp_path: Path) -> None:
    """`-o` never overwrites."""
    (tmp_path / "mine.zip").write_text("holiday")
    with pytest.raises(DataError, match="is there already"):
        archive.create(_full(store.folder), tmp_path, tmp_path / "mine.zip")
    assert (tmp_path / "mine.zip").read_text() == "holiday"
