"""Nobody waits for a stranger: the small version of `make bench ARGS=lanes`, without a look at the time."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from bench import rig
from gateway.testing.process import Peer, until

PLUGINS = Path(rig.__file__).parent / "plugins"
STATUS = "hydro/gh-1/zn-1/{}/status"

TELLS = '''"""Says which status came to its turn."""

from gateway import Event, Manifest, Status, Tx, hookimpl


@hookimpl
def manifest() -> Manifest:
    return Manifest(version="1.0", messages=(Status,), eager=True)


@hookimpl
async def node_message(event: Event, tx: Tx) -> None:
    tx.publish_json(f"test/turn/{event.source.name}", {"seq": event.seq})
'''


def rows(us: rig.Ours, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(f"{(us.state / 'gateway.db').as_uri()}?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_everybody_in_a_storm_is_registered_and_gets_a_receipt() -> None:
    """300 nodes that connect and say hello at once, each on a connection of its own, once."""
    with rig.broker() as (broker, folder), rig.Ours(folder / "us", broker.port) as us:
        found = rig.load(broker.port, "storm", 300, 0.3, "storm")
        assert (found["sent"], found["receipts"]) == (300, 300)
        assert rows(
            us, "SELECT count(*) FROM nodes WHERE lifecycle_state = 'REGISTERED_BACKEND'"
        ) == [(300,)]
        until(lambda: rows(us, "SELECT count(*) FROM outbox") == [(0,)], what="an empty outbox")


def test_a_flooder_a_hanging_and_a_raising_plugin_harm_nobody_else() -> None:
    """Every beat of the others has its effects, the flooder is held back visibly, the nodes on which
    a plugin hangs are registered, and what the raising plugin did not take is kept for it."""
    folders = [str(PLUGINS / name) for name in ("watching", "hanging", "raising")]
    settings = f"[plugins]\ndirs = {folders}\n[limits]\nflood_rate = 5\n".replace("'", '"')
    with rig.broker() as (broker, folder), rig.Ours(folder / "us", broker.port, settings) as us:
        rig.load(broker.port, "hellos", 30, 0, "bench")
        found = rig.run("bench.fleet", str(broker.port), "30", "0.5", "3", "500", "beats", "4")
        assert found["beats"] > 100
        assert found["missing"] == 0
        facts = us.facts()
        assert facts["counts"]["refused:flood"] > 1000
        assert "raises" in facts["switched_off"]
        assert rows(us, "SELECT count(*) FROM nodes WHERE hardware_id LIKE 'hang-%'") == [(4,)]
        assert rows(us, "SELECT count(*) > 0 FROM delivery WHERE plugin = 'raises'") == [(1,)]
        assert rows(us, "SELECT count(*) FROM refused WHERE word = 'flood'") != [(0,)]
        sql = (
            "SELECT beats, missed, seq FROM heartbeat_nodes JOIN nodes ON id = node_id "
            "WHERE hardware_id LIKE 'bench-%' AND hardware_id <> 'bench-flooder'"
        )
        kept = rows(us, sql)
        assert len(kept) == 30
        assert all(beats == seq and missed == 0 for beats, missed, seq in kept)


def test_order_holds_when_one_node_fills_the_journal(tmp_path: Path) -> None:
    """Lanes that hold four in memory: a node's 400 messages, and those of others between them, come
    to their turn once and in their order."""
    (tmp_path / "tells.py").write_text(TELLS)
    settings = f'[plugins]\ndirs = ["{tmp_path}"]\n[limits]\nwindow = 16\nlane_window = 4\n'
    with rig.broker() as (broker, folder), rig.Ours(folder / "us", broker.port, settings):
        peer = Peer(broker.port).listen("test/turn/+")
        try:
            for number in range(1, 401):
                said = {"status": "ONLINE", "boot_id": "00000001", "seq": number}
                peer.say(STATUS.format("loud"), said, wait=False)
                if number % 20 == 0:
                    said["seq"] = number // 20
                    peer.say(STATUS.format(f"quiet-{number % 40}"), said, wait=number % 400 == 0)
            until(lambda: len(peer.got) >= 420, 60, "a turn for each of them")
            turns = {name: [m["seq"] for m in peer.heard(name)] for name in ("/loud", "-0", "-20")}
        finally:
            peer.close()
    assert turns["/loud"] == list(range(1, 401))
    assert turns["-0"] == list(range(2, 21, 2))
    assert turns["-20"] == list(range(1, 21, 2))
