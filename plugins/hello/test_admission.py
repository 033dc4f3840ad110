"""Who is let in (B9): the three modes, secrets and clones, the operator's word, the end of service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway_hello import asked
from gateway_hello.registry import Facts, admit
from hypothesis import given
from hypothesis import strategies as st

from gateway import sign

if TYPE_CHECKING:
    from conftest import Door


def test_approval(door: Door) -> None:
    """With `approve` a node waits, is told so, is let in or kept out, and taken back."""
    door.host.registration = "approve"
    assert door.hello()["reason"] == "pending_approval"
    assert door.node(door.hardware_id).lifecycle_state == "PROVISIONED_WIFI"
    assert door.order(asked.Approve)[0]
    assert "reason" not in door.hello()
    assert door.order(asked.Reject)[0]
    assert door.hello()["reason"] == "rejected"
    assert door.order(asked.Readmit)[0]
    assert "reason" not in door.hello()


def test_claims(door: Door) -> None:
    """With `claim` only the key that was written at flashing opens the door, for its own boot."""
    door.host.registration, door.host.claim_key = "claim", "key"
    assert door.hello(boot_id="0000000a", claim="x")["reason"] == "identity"
    good = sign("key", door.hardware_id, "0000000a")
    assert door.hello(boot_id="0000000b", claim=good)["reason"] == "identity"
    assert door.roster.all() == []
    assert "reason" not in door.hello(boot_id="0000000a", claim=good)


def test_decommissioned_until_readmitted(door: Door) -> None:
    """The end of service is told in the receipt, and the way back is the operator's: as a new node,
    which is in no zone."""
    door.hello()
    place = {"gh": "gh-1", "zone": "zn-1", "lifecycle_state": "ASSIGNED_TO_ZONE"}
    door.registered(door.node(door.hardware_id).uid, **place)
    door.order(asked.Decommission)
    assert door.hello()["reason"] == "decommissioned"
    assert door.node(door.hardware_id).lifecycle_state == "DECOMMISSIONED"
    door.order(asked.Readmit)
    assert door.hello()["lifecycle_state"] == "REGISTERED_BACKEND"
    assert not door.node(door.hardware_id).bound


def test_a_node_with_a_secret_must_sign(door: Door) -> None:
    """Unsigned or wrongly signed it is a possible clone that changes nothing; signed it is itself."""
    door.hello(boot_id="0000000a", seq=1)
    before = door.proved(life="online")
    assert door.hello(protocol=1, boot_id="0000000b", fw_version="9")["reason"] == "identity"
    assert door.signed_hello("another", boot_id="0000000b", fw_version="9")["reason"] == "identity"
    assert door.hello(boot_id="0000000b", fw_version="9")["reason"] == "identity"  # plays foreign
    assert door.node(door.hardware_id) == before
    assert door.read("SELECT suspects FROM hello_nodes") == [(3,)]
    door.order(asked.Approve)
    assert door.read("SELECT suspects FROM hello_nodes") == [(0,)]
    assert "reason" not in door.signed_hello(boot_id="0000000b")


def test_a_wiped_board_comes_back_by_itself_where_the_door_is_open(door: Door) -> None:
    """`open`: once the old boot has been silent for its offline time; its old secret is forgotten."""
    door.hello(boot_id="0000000a")
    door.proved(life="late")
    assert door.hello(protocol=1, boot_id="0000000b")["reason"] == "identity"
    door.proved(life="offline")
    assert "reason" not in door.hello(protocol=1, boot_id="0000000b")
    assert door.node(door.hardware_id).secret is None


def test_a_wiped_board_waits_for_the_operator_elsewhere(door: Door) -> None:
    """`approve`: however long the old boot has been silent, `readmit` takes it back and nothing else."""
    door.host.registration = "approve"
    door.hello(boot_id="0000000a")
    door.order(asked.Approve)
    door.proved(life="offline")
    assert door.hello(protocol=1, boot_id="0000000b")["reason"] == "identity"
    assert door.order(asked.Readmit)[0]
    assert "reason" not in door.hello(protocol=1, boot_id="0000000b")


def test_a_field_node_never_signs(door: Door) -> None:
    """Its firmware took a secret with its config and knows no signatures: it is no clone of itself."""
    door.hello()
    door.registered(door.node(door.hardware_id).uid, secret=door.secret)
    assert "reason" not in door.hello(fw_version="2")
    assert door.node(door.hardware_id).fw_version == "2"
    assert door.node(door.hardware_id).secret == door.secret


def test_a_field_board_that_gets_our_firmware_starts_without_a_secret(door: Door) -> None:
    """Nobody knows whether the new firmware has the old secret; unsigned, it has not."""
    door.hello()
    door.registered(door.node(door.hardware_id).uid, secret=door.secret)
    assert "reason" not in door.hello(protocol=1, boot_id="0000000a", seq=1)
    assert door.node(door.hardware_id).secret is None
    assert "reason" not in door.hello(protocol=1, boot_id="0000000a", seq=2)


def test_a_command_for_nobody_is_refused(door: Door) -> None:
    """Approving a node that is not there is an error, not a new node."""
    ok, result = door.order(asked.Approve, "nobody")
    assert not ok
    assert "no such node" in result["error"]


@given(
    st.sampled_from(["open", "approve", "claim"]),
    st.sampled_from(["", "accepted", "pending", "rejected"]),
    st.sampled_from(["PROVISIONED_WIFI", "REGISTERED_BACKEND", "DECOMMISSIONED"]),
    *[st.booleans()] * 4,
)
def test_the_table_of_admission(
    mode: Any, admission: str, state: str, secret: bool, signed: bool, claimed: bool, offline: bool
) -> None:
    """What is final stays final; a proved secret is needed where there is one; the rest by the mode."""
    facts = Facts(mode, True, state, admission, secret, signed, claimed, offline, False)
    verdict = admit(facts)
    if state == "DECOMMISSIONED":
        assert verdict.reason == "decommissioned"
    elif admission == "rejected":
        assert verdict.reason == "rejected"
    elif secret and not signed:
        back = (mode == "open" and offline) or (mode == "claim" and claimed)
        assert verdict == (("", True) if back else ("identity", False))
    elif mode == "open" or admission == "accepted":
        assert verdict == ("", False)
    else:
        waits = {"approve": "pending_approval", "claim": "" if claimed else "identity"}
        assert verdict == (waits[mode], False)
