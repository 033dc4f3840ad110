"""What must be true when a life is over, whatever struck in it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from gateway.store.journal import checksum
from tests.faults.crash.world import World


def judge(world: World) -> None:
    """Raise AssertionError where something was lost, done twice or left behind."""
    rows = world.gateway.rows
    found = [(node, boot, seq) for node, boot, seq, _ in rows("SELECT * FROM tally_effects")]
    if "tally" in world.ledger.accounts:
        world.ledger.settle("tally", stored=found, effects=found)
        assert not world.ledger.lost("tally"), world.ledger.table()
        assert not world.ledger.doubles("tally"), world.ledger.table()
    for hardware_id in world.fleet.hardware_ids if world.fleet else ():
        node = world.gateway.node(hardware_id)
        assert node is not None
        assert node["lifecycle_state"] == "REGISTERED_BACKEND", node
    if world.pushed:
        # one push is one revision, however often the gateway died over it
        assert rows("SELECT revision, state FROM config_desired") == [(1, "verified")]
        assert rows("SELECT count(*) FROM config_revisions") == [(1,)]
    _sound(world)


def _sound(world: World) -> None:
    with closing(sqlite3.connect(world.folder / "state" / "gateway.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for sql in (
            "SELECT count(*) FROM journal WHERE state <> 1",
            "SELECT count(*) FROM delivery",
            "SELECT count(*) FROM node_names WHERE node_id NOT IN (SELECT id FROM nodes)",
            "SELECT count(*) - count(DISTINCT hardware_id) FROM nodes WHERE hardware_id IS NOT NULL",
        ):
            assert connection.execute(sql).fetchone() == (0,), sql
        for crc, topic, payload in connection.execute("SELECT crc, topic, payload FROM journal"):
            assert crc == checksum(topic, payload), topic
