"""B: registration and identity (field failures B1 to B6)."""

from __future__ import annotations

from collections.abc import Callable

from gateway.testing.process import GatewayProcess, Peer, hello, until

Join = Callable[..., Peer]
HELLO = "hydro/node_hello"


def test_b1_two_hellos_at_once_with_one_generated_uid(gateway: GatewayProcess, join: Join) -> None:
    """B1: boards whose generated uid is the same all get registered, each under a uid of its own."""
    gateway.start()
    peer = join()
    for n in range(8):
        peer.say(HELLO, hello(f"esp32-78e36ddde468{n:04}"), wait=n == 7)
    rows = until(lambda: (r := gateway.rows("SELECT uid FROM nodes")) and len(r) == 8 and r)
    uids = {uid for (uid,) in rows}
    assert len(uids) == 8
    assert "nd-clim-78e36ddde468" in uids


def test_b2_two_devices_that_ask_for_one_uid_stay_two(gateway: GatewayProcess, join: Join) -> None:
    """B2: the second device with the same wish becomes a node of its own."""
    gateway.start()
    peer = join()
    for name in ("b2-one", "b2-two"):
        peer.say(HELLO, hello(name, provisioning_meta={"node_uid": "nd-wish"}))
    until(lambda: gateway.node("b2-two"))
    one, two = gateway.node("b2-one"), gateway.node("b2-two")
    assert one is not None
    assert two is not None
    assert one["uid"] == "nd-wish"
    assert two["uid"] != "nd-wish"
    assert one["id"] != two["id"]


def test_b3_a_hello_cannot_rename_a_node(gateway: GatewayProcess, join: Join) -> None:
    """B3: a known node that asks for another uid keeps the one it has."""
    gateway.start()
    peer = join()
    peer.say(HELLO, hello("b3", provisioning_meta={"node_uid": "nd-first"}))
    until(lambda: gateway.node("b3"))
    peer.say(HELLO, hello("b3", provisioning_meta={"node_uid": "nd-second"}, fw_version="2.0.0"))
    until(lambda: gateway.rows("SELECT 1 FROM nodes WHERE fw_version = '2.0.0'"))
    node = gateway.node("b3")
    assert node is not None
    assert node["uid"] == "nd-first"


def test_b4_a_hello_without_a_type_keeps_the_type(gateway: GatewayProcess, join: Join) -> None:
    """B4: node_type left out is not node_type unknown."""
    gateway.start()
    peer = join()
    peer.say(HELLO, hello("b4"))
    until(lambda: gateway.node("b4"))
    second = hello("b4", fw_version="2.0.0")
    del second["node_type"]
    peer.say(HELLO, second)
    until(lambda: gateway.rows("SELECT 1 FROM nodes WHERE fw_version = '2.0.0'"))
    node = gateway.node("b4")
    assert node is not None
    assert node["type"] == "climate"


def test_b5_decommissioned_hardware_is_told_so(gateway: GatewayProcess, join: Join) -> None:
    """B5: a decommissioned board gets a receipt that refuses it with the reason, and stays so until
    an operator re-admits it."""
    gateway.start()
    peer = join().listen("hydro/gh-temp/zn-temp/b5/hello_ack")
    peer.say(HELLO, hello("b5", boot_id="00000001", seq=1))
    until(lambda: peer.heard("hello_ack", seq=1))
    assert gateway.command("nodes", "decommission", "b5", "--yes").returncode == 0
    peer.say(HELLO, hello("b5", boot_id="00000002", seq=2))
    (refused,) = until(lambda: peer.heard("hello_ack", seq=2))
    assert (refused["accepted"], refused["reason"]) == (False, "decommissioned")
    assert gateway.command("nodes", "readmit", "b5").returncode == 0
    peer.say(HELLO, hello("b5", boot_id="00000002", seq=3))
    (taken,) = until(lambda: peer.heard("hello_ack", seq=3))
    assert taken["lifecycle_state"] == "REGISTERED_BACKEND"


def test_b6_a_fresh_nodes_status_on_its_temp_topic_is_its_own(
    gateway: GatewayProcess, join: Join
) -> None:
    """B6: status and will under the hardware_id reach the node that said hello by that name."""
    gateway.start()
    peer = join()
    for name in ("b6-one", "b6-two"):
        peer.say(HELLO, hello(name))
    until(lambda: gateway.node("b6-two"))
    base = "hydro/gh-temp/zn-temp"
    for name in ("b6-one", "b6-two"):
        peer.say(f"{base}/{name}/heartbeat", {"uptime": 1, "free_heap": 1000})
    peer.say(f"{base}/b6-one/lwt", "offline")
    until(lambda: (n := gateway.node("b6-one")) and n["life"] == "offline")
    other = gateway.node("b6-two")
    assert other is not None
    assert other["life"] == "online"
    assert len(gateway.rows("SELECT id FROM nodes")) == 2
