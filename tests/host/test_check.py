"""`plugins check` finds what mypy and pluggy cannot see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.host.check import check, plugins_in

if TYPE_CHECKING:
    from conftest import Shelf

CASES = [
    (
        "@hookimpl\ndef node_hello(event: NodeHeartbeat): ...",
        ["node_hello: event is annotated NodeHeartbeat, but receives NodeHello"],
    ),
    (
        "from gateway import Host, Tx\n@hookimpl\ndef node_hello(tx: Host): ...",
        ["node_hello: tx is annotated Host, but receives Tx"],
    ),
    (
        "@hookimpl\ndef node_hello(event: NodeHello | None, node: int): ...",
        ["node_hello: node is annotated int, but receives Node"],
    ),
    (
        "@hookimpl\ndef startup(gateway, config: dict): ...",
        ["startup: config is annotated dict, but receives None (the manifest names no config)"],
    ),
    (
        "def node_hello(): ...\n@hookimpl\ndef node_heartbeat(): ...",
        ["node_hello is never called: @hookimpl is missing"],
    ),
    (
        "@hookimpl\ndef node_message(event: Event): ...",
        ["node_message is never called: the manifest lists no messages, commands or jobs"],
    ),
    (
        "@hookimpl\ndef manifest(): return Manifest(messages=(Status,))",
        ["the manifest lists Status, but there is no node_message to receive it"],
    ),
    (
        "@hookimpl\ndef node_helo(): ...\ndef node_hello(): ...",
        [
            'node_helo is no hook; did you mean "node_hello"?',
            "node_hello is never called: @hookimpl is missing",
        ],
    ),
    ("raise SystemExit", ["its import failed: SystemExit"]),
    ("@hookimpl\ndef node_hello(event: Event): ...", []),
    ("@hookimpl\ndef node_hello(event: object, node, tx, config): ...", []),
    (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING: from nowhere import Thing\n"
        "@hookimpl\n"
        "def node_hello(config: 'Thing', event: 'NodeHeartbeat'): ...",
        ["node_hello: event is annotated NodeHeartbeat, but receives NodeHello"],
    ),
    (
        "@hookimpl\ndef manifest(): return Manifest(messages=(Status, Telemetry))\n"
        "@hookimpl\nasync def node_message(event: Status | Telemetry): ...",
        [],
    ),
]


@pytest.mark.parametrize(("text", "faults"), CASES)
def test_what_is_found(shelf: Shelf, text: str, faults: list[str]) -> None:
    """Each fault is a sentence that names the hook; a good plugin has none."""
    report = check(shelf.drop("odd.py", text))
    assert [fault.text for fault in report.faults] == faults
    assert report.ok is not bool(faults)


def test_a_path_with_nothing(shelf: Shelf) -> None:
    """A path that is no plugin is a fault like any other."""
    assert "its import failed: FileNotFoundError" in check(shelf.dirs / "none.py").faults[0].text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("from gateway import hookimpl\n\n\n@hookimpl\n@hookimpl\ndef node_helo(): ...\n", 6),
        ("from gateway import hookimpl\nx = 1\nassert not x\n", 3),
        ("x = (\n", 1),
        ("x = 1\n", 1),
        ("from gateway import hookimpl\n@hookimpl\ndef manifest():\n    return 3\n", 3),
    ],
)
def test_a_fault_has_a_place(shelf: Shelf, text: str, line: int) -> None:
    """File and line of the function, of the line at which an import ended, else of the module."""
    path = shelf.dirs / "odd.py"
    path.write_text(text)
    (fault,) = check(path).faults
    assert fault.place == f"{path}:{line}"


def test_what_a_folder_holds(shelf: Shelf) -> None:
    """A file is itself; a project's package is found beside its tests and tools; else everything
    that a folder of plugins would bring."""
    file = shelf.drop("door.py", "")
    shelf.drop("test_door.py", "")
    assert plugins_in(file) == [file]
    assert plugins_in(shelf.dirs) == [file]
    package = shelf.dirs / "gateway_door"
    package.mkdir()
    (package / "__init__.py").touch()
    assert plugins_in(shelf.dirs) == plugins_in(package) == [package]
