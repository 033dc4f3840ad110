"""One wire, two programs: what gateway and node write down twice is equal, and all of it has a vector.

Nothing is counted by hand: words, states and files are read from the code and from the folder.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gateway_config.sending
import gateway_config.twin
import pytest

from gateway.errors import REFUSALS
from gateway.protocol import codec, scan, signing, states, topics

if TYPE_CHECKING:
    from conftest import House

VECTORS = Path(__file__).parents[1] / "vectors"
RECORDED = {
    "field_traffic.jsonl": "f8071ed456b8f3e6edfaf0f5cf63e6a3a7df46b2b2f398185e8d6d3ae3f95029",
    "hmac_vectors.json": "3fb93025eca0490fb6c907f428de985c365af5b8343b7b65cd11e4a4324dc4a7",
}
"""What a real field and its own implementations gave us. Nobody edits it; ours is in the other files."""

PAIRS = {
    "protocol.TEMP_GH": topics.TEMP_GH,
    "protocol.TEMP_ZONE": topics.TEMP_ZONE,
    "protocol.MAX_REVISION": gateway_config.twin.HIGHEST,
    "text.MAX_PAYLOAD": gateway_config.sending.NODE_LIMIT,
    "text.MAX_DEPTH": codec.DEPTH,
    "text._SAFE": scan.SAFE_INT,
}
"""A constant of the node, and what the gateway holds for it."""


def constants(house: House) -> dict[str, Any]:
    """`module.NAME` -> value, of the node's files; the node is read, not imported."""
    found: dict[str, Any] = {}
    for source in house.under("device/gwnode"):
        for line in source.tree.body:
            if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
                given = line.value
                if isinstance(given, ast.Call) and len(given.args) == 1:  # const(value)
                    given = given.args[0]
                try:
                    value = ast.literal_eval(given)
                except ValueError:
                    continue
                found[f"{source.module.split('.')[-1]}.{line.targets[0].id}"] = value
    return found


def load(name: str) -> Any:
    """A file of vectors."""
    return json.loads((VECTORS / name).read_text())


def test_constants_are_equal(house: House) -> None:
    """A limit or a name that both sides hold is one limit and one name."""
    of_the_node = constants(house)
    assert {name: of_the_node.get(name) for name in PAIRS} == PAIRS
    assert codec.DEPTH == signing.DEPTH == gateway_config.document.DEPTH_LIMIT


def test_the_words_are_one_language(house: House) -> None:
    """Every refusal on either side has a word of B8, and each word has a vector."""
    raised = {
        (source.path, word)
        for source in house.under("gateway", "device/gwnode")
        for word in re.findall(r"\bRefus(?:al|ed)\(\s*\"(\w+)\"", source.text)
    }
    assert raised
    assert not {(path, word) for path, word in raised if word not in REFUSALS}
    cases = load("refused.json")["cases"]
    assert {case["refused"] for case in cases} == set(REFUSALS)


def test_what_the_node_refuses_it_is_shown(house: House) -> None:
    """Each word that the node uses stands in a vector that the node is run with."""
    used = {
        word
        for source in house.under("device/gwnode")
        for word in re.findall(r"\bRefused\(\s*\"(\w+)\"", source.text)
    }
    shown = {case.get("refused") for case in load("envelope.json")["take"]}
    shown |= {case["refused"] for case in load("refused.json")["cases"] if not case.get("by")}
    assert used <= shown


@pytest.mark.parametrize("table", ["lifecycle", "config_states"])
def test_every_state_is_on_a_way(table: str) -> None:
    """Each state of a table stands in a legal way of the vectors."""
    cases = [case for case in load("states.json")["ways"] if case["table"] == table]
    ways = [case["way"] for case in cases if case["legal"]]
    assert set(chain.from_iterable(ways)) == set(load("states.json")[table])


def test_the_node_reports_states_of_the_table(house: House) -> None:
    """What the node may say of a config is a state that the gateway follows."""
    text = "\n".join(source.text for source in house.under("device/gwnode"))
    said = set(re.findall(r"\"(received|applied|verified|rejected|rolled_back)\"", text))
    assert said == {"received", "applied", "verified", "rejected", "rolled_back"}
    assert said <= set(states.CONFIG_STATES)


def test_both_sides_read_the_vectors(house: House) -> None:
    """Every file of vectors is read by tests of the gateway, and by the driver that both interpreters of
    the node run, or says that it is not the node's."""
    gateway_side = "\n".join(
        source.text
        for source in house.under("tests/protocol", "tests/field", "plugins")
        if source.file.name.startswith(("test_", "conftest"))
    )
    driver = (VECTORS.parent / "device" / "vectors_driver.py").read_text()
    not_the_nodes = {
        "heartbeat.json",
        "messages.json",
        "states.json",
    }  # what only the gateway reads
    for path in VECTORS.iterdir():
        assert path.name in gateway_side, path.name
        assert (path.name in driver) is (path.name not in not_the_nodes), path.name


@pytest.mark.parametrize("name", RECORDED)
def test_what_was_recorded_is_not_edited(name: str) -> None:
    """The field's own data is as it came."""
    assert hashlib.sha256((VECTORS / name).read_bytes()).hexdigest() == RECORDED[name]
