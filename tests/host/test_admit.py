"""A manifest is checked before anything that it promises is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.host.admit import TAKEN, api_fault
from gateway.protocol.messages import KNOWN

if TYPE_CHECKING:
    from conftest import Shelf

HELLO = """
@hookimpl
def node_message(event): ...
@hookimpl
def manifest(): return Manifest({})
"""


@pytest.mark.parametrize(
    "wanted", [">=1.0,<2", ">=1", "==1.0", "<=1.0", "!=2.0", ">0.9, <1.1", "==1"]
)
def test_our_api_is_in_the_range(wanted: str) -> None:
    """A range that holds the gateway's API version is no fault."""
    assert api_fault(wanted) == ""


@pytest.mark.parametrize("wanted", [">=2", "<1", ">1.0", "!=1.0", ">=1.0,<1.0", ">=1.1,<2"])
def test_our_api_is_not_in_the_range(wanted: str) -> None:
    """The fault names the range and our version."""
    assert api_fault(wanted) == f"it needs the plugin API {wanted}, this gateway has 1.0"


@pytest.mark.parametrize("wanted", ["", "1.0", "~=1.0", ">=one", ">=1.0,", ">=1.0.0"])
def test_a_range_that_cannot_be_read(wanted: str) -> None:
    """What is no range is told together with one that is."""
    assert "write it like '>=1.0,<2'" in api_fault(wanted)


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("requires_api='>=9'", "it needs the plugin API >=9, this gateway has 1.0"),
        ("requires_api=9", "requires_api must be a text, not 9"),
        ("messages=Status", "messages must be a tuple, like (Status,)"),
        ("messages=(int,)", "messages lists <class 'int'>, which is no Message"),
        ("messages=(NodeHello,)", "NodeHello arrives in the hook node_hello"),
        ("messages=(NodeHeartbeat,)", "NodeHeartbeat arrives in the hook node_heartbeat"),
        ("messages=(Wake,)", "Wake must be a subclass of gateway.Message"),
        ("messages=(Command,)", "Command must be a subclass of gateway.Message"),
        ("messages=(Status, Status)", "status is listed twice"),
        ("messages=(Message,)", "Message has the kind '', which is no word"),
        ("messages=(type('Own', (Message,), {'kind': 'config'}),)", "which is the gateway's own"),
        ("messages=(type('Own', (Message,), {'kind': 'a/b'}),)", "which is no word of a-z"),
        ("messages=(type('Own', (Message,), {'kind': 'node_hello'}),)", "in the hook node_hello"),
        ("commands=(Status,)", "no subclass of gateway.Command"),
        ("commands=(type('Own', (Command,), {'kind': 'open'}),)", "write it like 'door.unlock'"),
        ("jobs=(print,)", "which is no Job"),
        ("jobs=(Job(name='j', every=0, run=print),)", "every must be more than 0"),
        ("config=dict", "config must be a msgspec.Struct type"),
        ("migrations='nowhere'", "nowhere does not exist (beside the module gateway_local.odd)"),
        ("wrong=1", "its manifest failed: TypeError: Unexpected keyword argument 'wrong'"),
    ],
)
def test_a_wrong_manifest_is_refused(
    error_of: Callable[[str], str], inside: str, said: str
) -> None:
    """Each mistake in a manifest has its own sentence."""
    assert said in error_of(HELLO.format(inside))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 3", "its manifest is no Manifest but 3"),
        ("raise SystemExit(1)", "its manifest failed: SystemExit: 1"),
        ("return undefined", "its manifest failed: NameError"),
    ],
)
def test_a_failing_manifest_is_refused(
    error_of: Callable[[str], str], body: str, said: str
) -> None:
    """What the hook `manifest` raises or returns instead is the plugin's error."""
    assert said in error_of(f"@hookimpl\ndef manifest(): {body}")


def test_a_plugin_needs_no_manifest(shelf: Shelf) -> None:
    """Without the hook, or where it returns None, there is a manifest with defaults."""
    shelf.drop("aaa.py", "@hookimpl\ndef node_hello(): ...")
    shelf.drop("bbb.py", "@hookimpl\ndef node_hello(): ...\n@hookimpl\ndef manifest(): ...")
    for plugin in shelf.load().ready():
        assert plugin.manifest.messages == ()
        assert plugin.version == "0"
    assert len(shelf.load().ready()) == 2


def test_migrations_lie_beside_the_module(shelf: Shelf, tmp_path: Path) -> None:
    """The folder that the manifest names is found beside the file that says so."""
    shelf.drop("door_sql/0001.sql", "")
    shelf.drop("door.py", HELLO.format("migrations='door_sql', version='3'"))
    plugin = shelf.load().plugins["door"]
    assert plugin.migrations == tmp_path / "plugins" / "door_sql"
    assert plugin.version == "3"


def test_no_kind_of_the_protocol_is_taken_away() -> None:
    """Every kind that nodes send can be listed or has a hook; what we send ourselves cannot."""
    assert {cls.kind for cls in KNOWN}.isdisjoint(TAKEN)
