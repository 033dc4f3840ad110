"""Who may import whom: only downwards, and one library lives in one room.

The ranks are the law of the house (ARCHITECTURE.md); who really imports whom is read from the tree.
What stands under `if TYPE_CHECKING:` never runs and may look upwards.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import House, Import, Source

RANKS = {
    "__main__": 9,
    "cli": 8, "web": 8, "testing": 8,
    "app": 7, "engine": 7,
    "service": 6,
    "flow": 5,
    "hooks": 4,
    "host": 3, "mqtt": 3, "broker": 3,
    "hookspecs": 2, "store": 2,
    "api": 1, "settings": 1,
    "errors": 0, "failpoint": 0, "child": 0, "protocol": 0,
}  # fmt: skip
WITHIN = {("app", "engine"), ("protocol", "errors"), ("failpoint", "errors")}
"""Neighbours of one rank of which the first may know the second."""

APART = {("mqtt", "store"), ("broker", "store"), ("host", "store")}
"""Rooms that never meet although their ranks would let them; `app` and `flow` bring them together."""

HOMES = {
    "paho": ("gateway/mqtt/client.py",),
    "sqlite3": ("gateway/store/",),
    "pluggy": ("gateway/hookspecs.py", "gateway/host/"),
    "click": ("gateway/cli/",),
    "starlette": ("gateway/web/",),
    "tomli": ("gateway/settings/",),
    # events are its types, so whoever decodes or compares events needs it; nobody who only moves bytes
    "msgspec": (
        "gateway/protocol/", "gateway/api.py", "gateway/settings/", "gateway/host/", "gateway/hooks/",
        "gateway/flow/", "gateway/service/", "gateway/store/nodes.py",
    ),
    "nats": ("gateway/broker/",),
}  # fmt: skip
OUTSIDE = "gateway/testing/"
"""The test kit is no part of the running gateway: it looks at it from outside with its own tools."""


def room_of(found: Import) -> str:
    """The room that an import enters; "" for the door itself."""
    if found.module == "gateway":
        return found.name if found.name in RANKS else ""
    return found.module.split(".")[1]


def rooms(source: Source) -> tuple[str, set[tuple[int, str]]]:
    """A file's own room, and the rooms that it enters with the lines."""
    entered = {(i.line, room_of(i)) for i in source.imports() if i.top == "gateway"}
    parts = source.module.split(".")
    return (parts[1] if len(parts) > 1 else ""), entered


def test_every_room_has_a_rank(house: House) -> None:
    """A new room is a decision: it gets a rank before it gets an importer."""
    found = {rooms(source)[0] for source in house.under("gateway")} - {"", "_device"}
    assert found - set(RANKS) == set()


def test_rooms_import_only_downwards(house: House) -> None:
    """A room imports rooms below it, never above it and never beside it."""
    wrong = [
        f"{source.path}:{line}: {own} ({RANKS[own]}) imports {other} ({RANKS[other]})"
        for source in house.under("gateway")
        for own, entered in [rooms(source)]
        for line, other in sorted(entered)
        if own and other and own != other
        if RANKS[other] >= RANKS[own] and (own, other) not in WITHIN
    ]
    assert not wrong, "\n".join(wrong)


def test_the_link_and_the_store_never_meet(house: House) -> None:
    """Rooms that are kept apart are introduced to each other by functions, not by imports."""
    wrong = [
        f"{source.path}:{line}: {own} imports {other}"
        for source in house.under("gateway")
        for own, entered in [rooms(source)]
        for line, other in sorted(entered)
        if (own, other) in APART
    ]
    assert not wrong, "\n".join(wrong)


def test_rooms_do_not_go_through_the_door(house: House) -> None:
    """The door is for plugins and applications; a room names the room that it needs.

    Only the version and the folder may be read there, and the test kit stands outside like a plugin.
    """
    wrong = [
        f"{source.path}:{found.line}: from gateway import {found.name}"
        for source in house.under("gateway")
        if not source.path.startswith(OUTSIDE)
        for found in source.imports()
        if found.module == "gateway" and not room_of(found)
        if found.name not in ("", "__version__")
    ]
    assert not wrong, "\n".join(wrong)


def test_the_gateway_knows_no_plugin_device_or_test(house: House) -> None:
    """What is built on the gateway is never imported by it."""
    others = {*house.folders(), *house.plugin_packages()} - {"gateway"}
    wrong = [
        f"{source.path}:{found.line}: imports {found.module}"
        for source in house.under("gateway")
        for found in source.imports()
        if found.top in others
    ]
    assert not wrong, "\n".join(wrong)


def test_one_library_one_room(house: House) -> None:
    """Each third-party library, and sqlite3, is known in its home and nowhere else."""
    wrong = []
    for source in house.under("gateway"):
        for found in source.imports():
            homes = HOMES.get(found.top)
            if source.path.startswith(OUTSIDE) or found.top in ("gateway", "__future__"):
                continue
            if homes is None and found.top not in sys.stdlib_module_names:
                wrong.append(f"{source.path}:{found.line}: {found.top} has no home yet")
            elif homes is not None and not source.path.startswith(homes):
                wrong.append(f"{source.path}:{found.line}: {found.top} lives in {homes}")
    assert not wrong, "\n".join(wrong)


def test_the_device_imports_nothing_of_ours(house: House) -> None:
    """What goes on the board knows only itself; one file knows umqtt, one sockets, one TLS, one the
    hardware. pc.py stands for all of them on a PC, and never goes on a board."""
    own = {source.module.split(".")[-1] for source in house.under("device")} | {"gwnode"}
    homes = {
        "umqtt": "link.py", "socket": "wire.py", "select": "wire.py", "ssl": "tls.py", "tls": "tls.py",
        "machine": "board.py", "network": "board.py",
    }  # fmt: skip
    wrong = []
    for source in house.under("device"):
        for found in source.imports():
            if found.top in {*house.folders(), *house.plugin_packages()} - own - {"device"}:
                wrong.append(f"{source.path}:{found.line}: imports {found.module}")
            home = homes.get(found.top)
            if home and source.file.name not in (home, "pc.py"):
                wrong.append(f"{source.path}:{found.line}: only {home} may know {found.top}")
    assert not wrong, "\n".join(wrong)


def test_nobody_touches_the_import_path(house: House) -> None:
    """`sys.path` is the installation's business: a plugin folder must not shadow a library."""
    wrong = [source.path for source in house.under("gateway") if "sys.path" in code_of(source)]
    assert not wrong, "\n".join(wrong)


def code_of(source: Source) -> str:
    """The text of a file without comments and strings."""
    import io
    import tokenize

    skipped = (tokenize.COMMENT, tokenize.STRING)
    tokens = tokenize.generate_tokens(io.StringIO(source.text).readline)
    return "".join(token.string for token in tokens if token.type not in skipped)
