"""The wire: our envelopes are those of the vectors, and what they cost in bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gateway_config import sending
from hypothesis import given
from hypothesis import strategies as st

from gateway import Node, encode, signed

VECTORS = json.loads(
    (Path(__file__).parents[2] / "tests" / "vectors" / "envelope.json").read_text("utf-8")
)
NODE = Node(id=1, uid="nd-1", hardware_id="esp32-1", protocol=1)


@pytest.mark.parametrize("case", VECTORS["make"], ids=lambda case: case["name"])
def test_the_envelope_is_made_to_the_byte(case: dict[str, Any]) -> None:
    """What we publish is what the vectors say, byte for byte."""
    key = (case["key"], case["key_text"])
    made = sending.envelope(case["hardware_id"], case["revision"], case["doc"], key, ts=case["ts"])
    assert encode(made) == case["payload"].encode()


def taken(case: dict[str, Any]) -> dict[str, Any] | str:
    """What a node does by B5, written down a second time: the reading half of the vectors."""
    made, node = json.loads(case["payload"]), case["node"]
    text = made["doc"]
    if sending.sha256_of(text) != made["sha256"]:
        return "hash"
    inside = sending.secret_in(text) if not node["claim_key"] else None
    keys = {"secret": node["secret"], "claim": node["claim_key"], "open": inside}
    parts = ("config", case["hardware_id"], made["revision"], made["sha256"])
    if not signed(made.get("sig"), keys.get(made["key"]), *parts):
        return "signature"
    again = (made["revision"], made["sha256"]) == (node["revision"], node["sha256"])
    if made["revision"] <= node["revision"] and not again:
        return "revision"
    return {"revision": made["revision"], "sha256": made["sha256"], "again": again}


@pytest.mark.parametrize("case", VECTORS["take"], ids=lambda case: case["name"])
def test_the_vectors_agree_with_the_rules(case: dict[str, Any]) -> None:
    """Every envelope of the vectors has the end that B5 gives it."""
    assert taken(case) == case.get("expect", case.get("refused"))


def test_every_word_of_an_envelope_has_a_vector() -> None:
    """hash, signature and revision are all there."""
    words = {case["refused"] for case in VECTORS["take"] if "refused" in case}
    assert words == {"hash", "signature", "revision"}


SECRET, TRIAL, TEXT = "s" * 64, "t" * 64, json.dumps({"node_secret": "t" * 64})


@pytest.mark.parametrize(
    ("secret", "trial", "claim", "proof", "expected"),
    [
        (SECRET, None, "", "", ("secret", SECRET)),
        (SECRET, TRIAL, "c", "secret", ("secret", SECRET)),
        (SECRET, TRIAL, "c", "trial", ("secret", TRIAL)),
        (None, TRIAL, "", "", ("open", TRIAL)),
        (None, TRIAL, "c", "", ("claim", "c")),
        (None, TRIAL, "c", "trial", ("secret", TRIAL)),
        (None, None, "", "trial", ("open", TRIAL)),
    ],
)
def test_the_key_is_the_one_that_the_node_has(
    secret: str | None, trial: str | None, claim: str, proof: str, expected: tuple[str, str]
) -> None:
    """K of B5: the present secret, else the claim key, else the one inside the document."""
    node = Node(id=1, secret=secret, trial_secret=trial)
    assert sending.key_for(node, TEXT, claim, proof) == expected


@given(st.text(max_size=3_000), st.sampled_from(["secret", "claim", "open"]))
def test_the_size_check_is_never_below_what_is_sent(text: str, key: str) -> None:
    """The bytes that are counted before queueing are at least those on the wire."""
    text = text.encode("utf-8", "replace").decode()
    document = encode({"x": text}).decode()
    sent = len(encode(sending.envelope("esp32-1", 7, document, (key, "k"), ts=1_737_355_112)))
    refused = sending.size_problem(NODE, 7, document, foreign=False) is not None
    assert refused or sent <= sending.NODE_LIMIT


def test_c6_the_bytes_over_are_named() -> None:
    """C6: too big is refused before queueing, with the growth of the envelope counted."""
    text = encode({"a": '"' * 1_900}).decode()
    assert len(text) < sending.NODE_LIMIT
    problem = sending.size_problem(NODE, 7, text, foreign=False)
    assert problem is not None
    made = sending.envelope("esp32-1", 7, text, ("secret", "k"), ts=1_737_355_112)
    over = len(encode(made)) - sending.NODE_LIMIT
    assert problem.message.endswith(f"{over:,} over the 4,096 that a node takes")
    assert sending.size_problem(NODE, 7, text, foreign=True) is None


@pytest.mark.parametrize(("size", "fits"), [(4_095, True), (4_096, False)])
def test_a_field_node_stores_a_byte_less_than_it_receives(size: int, fits: bool) -> None:
    """A1.2: 4,095 bytes of document, sent as it is."""
    text = encode({"a": "x" * (size - 8)}).decode()
    assert len(text) == size
    assert (sending.size_problem(NODE, 7, text, foreign=True) is None) is fits


def test_a_real_bind_config_fits() -> None:
    """C6: the field's real bind config of 2,337 bytes goes through in an envelope."""
    text = encode({"channels": [{"name": f"channel_{i:03}"} for i in range(104)]}).decode()
    assert 2_300 < len(text) < 2_500
    assert sending.size_problem(NODE, 7, text, foreign=False) is None
