"""D: liveness and retained messages (field failures D1 to D5 and D9)."""

from __future__ import annotations

from collections.abc import Callable

from gateway.testing.process import GatewayProcess, Peer, hello, until

Join = Callable[..., Peer]
BASE = "hydro/gh-temp/zn-temp"
BEAT = {"uptime": 5, "free_heap": 1000}


def life(gateway: GatewayProcess, name: str) -> str | None:
    node = gateway.node(name)
    return None if node is None else str(node["life"])


def register(gateway: GatewayProcess, peer: Peer, name: str) -> None:
    peer.say("hydro/node_hello", hello(name))
    until(lambda: gateway.node(name))


def settled(gateway: GatewayProcess, peer: Peer, name: str) -> None:
    """Everything said before is worked on: a marker of the same node has gone its whole way."""
    seen = len(gateway.rows("SELECT 1 FROM journal WHERE kind = 'node_hello' AND state = 1"))
    peer.say("hydro/node_hello", hello(name))
    until(
        lambda: (
            len(gateway.rows("SELECT 1 FROM journal WHERE kind = 'node_hello' AND state = 1"))
            > seen
        )
    )


def test_d1_a_retained_online_does_not_make_a_node_online(
    gateway: GatewayProcess, join: Join
) -> None:
    """D1: a zombie's retained ONLINE makes nobody online: neither found when the gateway subscribes,
    nor queued while it was away, neither of a stranger nor of a node that has died."""
    zombie = {"status": "ONLINE", "ts": 1710001555}
    peer = join()
    peer.say(f"{BASE}/d1-found/status", zombie, retain=True)
    gateway.start()
    register(gateway, peer, "d1")
    peer.say(f"{BASE}/d1/lwt", "offline")
    until(lambda: life(gateway, "d1") == "offline")
    before = gateway.node("d1")
    gateway.stop()
    for name in ("d1", "d1-queued"):
        peer.say(f"{BASE}/{name}/status", zombie, retain=True)
    gateway.start()
    # the sessions take what was queued in order, so behind the marker nothing is left
    settled(gateway, peer, "d1-marker")
    assert gateway.node("d1") == before
    assert gateway.node("d1-found") is None
    seen = gateway.node("d1-queued")
    assert seen is None or (seen["life"], seen["last_seen_at"]) == ("seen", None)


def test_d2_a_retained_offline_does_not_kill_a_node_that_beats(
    gateway: GatewayProcess, join: Join
) -> None:
    """D2: the old will that nobody cleared is history, whatever order it arrives in."""
    peer = join()
    peer.say(f"{BASE}/d2/lwt", "offline", retain=True)
    peer.say(f"{BASE}/d2/status", {"status": "ONLINE", "ts": 1710001555}, retain=True)
    gateway.start()
    register(gateway, peer, "d2")
    peer.say(f"{BASE}/d2/heartbeat", BEAT)
    until(lambda: life(gateway, "d2") == "online")
    gateway.stop()
    gateway.start()  # the retained messages may come again
    peer.say(f"{BASE}/d2/heartbeat", BEAT)
    settled(gateway, peer, "d2")
    assert life(gateway, "d2") == "online"


def test_d3_a_restart_does_not_revive_the_dead(gateway: GatewayProcess, join: Join) -> None:
    """D3: beats that were queued while the gateway was away are backlog: no new last_seen_at."""
    gateway.start()
    peer = join()
    register(gateway, peer, "d3")
    peer.say(f"{BASE}/d3/heartbeat", BEAT)
    until(lambda: life(gateway, "d3") == "online")
    peer.say(f"{BASE}/d3/lwt", "offline")
    until(lambda: life(gateway, "d3") == "offline")
    before = gateway.node("d3")
    gateway.stop()
    for _ in range(3):
        peer.say(f"{BASE}/d3/heartbeat", BEAT)
    gateway.start()
    until(
        lambda: gateway.rows(
            "SELECT 1 FROM journal WHERE kind = 'heartbeat' AND flags & 1 AND state = 1"
        )
    )
    after = gateway.node("d3")
    assert before is not None
    assert after is not None
    assert after["life"] == "offline"
    assert after["last_seen_at"] == before["last_seen_at"]


def test_d4_clearing_a_retained_will_is_no_death(gateway: GatewayProcess, join: Join) -> None:
    """D4: an empty payload on lwt is somebody tidying up."""
    gateway.start()
    peer = join()
    register(gateway, peer, "d4")
    peer.say(f"{BASE}/d4/heartbeat", BEAT)
    until(lambda: life(gateway, "d4") == "online")
    peer.say(f"{BASE}/d4/lwt", b"", retain=True)
    settled(gateway, peer, "d4")
    assert life(gateway, "d4") == "online"


def test_d5_a_beat_makes_a_node_online(gateway: GatewayProcess, join: Join) -> None:
    """D5: heartbeats set the state, and the will ends it."""
    gateway.start()
    peer = join()
    register(gateway, peer, "d5")
    dying = join(will=(f"{BASE}/d5/lwt", b"offline"))
    dying.say(f"{BASE}/d5/heartbeat", BEAT)
    until(lambda: life(gateway, "d5") == "online")
    dying.vanish()
    until(lambda: life(gateway, "d5") != "online")
    assert life(gateway, "d5") == "offline"


def test_d9_a_status_without_a_status_is_taken(gateway: GatewayProcess, join: Join) -> None:
    """D9: `state: safe_mode` without `status` is a sign of life, not a refusal and not a death."""
    gateway.start()
    peer = join()
    register(gateway, peer, "d9")
    peer.say(f"{BASE}/d9/heartbeat", BEAT)
    until(lambda: life(gateway, "d9") == "online")
    peer.say(f"{BASE}/d9/status", {"state": "safe_mode", "reason": "x", "ts": 1710001555})
    settled(gateway, peer, "d9")
    assert life(gateway, "d9") == "online"
    assert gateway.rows("SELECT 1 FROM refused") == []
