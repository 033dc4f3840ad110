"""The registry: rows of `nodes` and `node_names`, and the roster that holds them in memory.

The roster is the truth between start and stop; the tables are the truth between runs. A change is
written first and enters the roster when its commit has returned. Names that an event under way is
about to take are reserved at once, so that the next event of the identity lane sees them (rule 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.api import NODE_FIELDS, Node
from gateway.store.sqlite import Connection

_FIELDS = tuple(name for name in Node.__struct_fields__ if name != "known")
_SELECT = f"SELECT {', '.join(_FIELDS)} FROM nodes"


class Roster:
    """All nodes in memory: by id, and by each of their names in lower case.

    Changed on the gateway's loop only; reading a dictionary is safe from any thread.
    """

    def __init__(self) -> None:
        self._by_id: dict[int, Node] = {}
        self._names: dict[str, int] = {}
        self._reserved: dict[str, Node] = {}
        self._next_id = 1

    def load(self, connection: Connection) -> None:
        """Read the tables, at start-up."""
        for row in connection.execute(_SELECT):
            self._keep(Node(**dict(zip(_FIELDS, row, strict=True))))
        for name, node_id in connection.execute("SELECT name, node_id FROM node_names"):
            self._names[name] = node_id
        self._next_id = max(self._by_id, default=0) + 1

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, node_id: int) -> Node | None:
        """The node with this id."""
        return self._by_id.get(node_id)

    def find(self, name: str) -> Node | None:
        """The node with this name in any case, reserved ones included."""
        name = name.lower()
        node_id = self._names.get(name)
        return self._by_id.get(node_id) if node_id is not None else self._reserved.get(name)

    def all(self) -> list[Node]:
        """All nodes, newest first."""
        return sorted(self._by_id.values(), key=lambda node: (-node.created_at, -node.id))

    def stranger(self, name: str) -> Node:
        """A node that nobody knows yet, with the id that it will have."""
        node_id, self._next_id = self._next_id, self._next_id + 1
        return Node(id=node_id, known=False, uid=name)

    def lane(self, name: str) -> str:
        """The lane for a name: the hardware_id where one is known, else the uid, else the name."""
        node = self.find(name)
        return lane_of(node) if node is not None else name.lower()

    def reserve(self, node: Node) -> None:
        """Hold this node's names until its commit."""
        for name in names_of(node):
            self._reserved[name] = node

    def release(self, node: Node) -> None:
        """The commit of a reserved node ended, well or badly."""
        for name in names_of(node):
            if self._reserved.get(name) is node:
                del self._reserved[name]

    def put(self, before: Node, after: Node) -> None:
        """A change of this node was committed; one that was forgotten meanwhile is on disk no more."""
        if not before.known or after.id in self._by_id:
            self._keep(after)

    def forget(self, node_id: int) -> None:
        """The node's row was deleted."""
        self._by_id.pop(node_id, None)
        self._names = {name: i for name, i in self._names.items() if i != node_id}

    def _keep(self, node: Node) -> None:
        self._by_id[node.id] = node
        for name in names_of(node):
            self._names[name] = node.id


def lane_of(node: Node) -> str:
    """The name under which everything of this node queues up."""
    return (node.hardware_id or node.uid).lower()


def names_of(node: Node) -> list[str]:
    """The node's names in lower case."""
    return list(dict.fromkeys(name.lower() for name in (node.hardware_id, node.uid) if name))


def patched(node: Node, changes: Mapping[str, Any], now: float) -> Node:
    """The node after these changes; creating it gives it its dates."""
    created = node.created_at or now
    return msgspec.structs.replace(node, known=True, created_at=created, updated_at=now, **changes)


def write(connection: Connection, before: Node, after: Node) -> None:
    """Write a node: insert where `before` is not known, else what differs.

    Raises sqlite3.IntegrityError where a name is taken (the event is then run again).
    """
    if not before.known:
        values = [getattr(after, name) for name in _FIELDS]
        marks = ",".join("?" * len(_FIELDS))
        connection.execute(f"INSERT INTO nodes ({', '.join(_FIELDS)}) VALUES ({marks})", values)
    else:
        names = [
            name
            for name in (*NODE_FIELDS, "updated_at")
            if getattr(before, name) != getattr(after, name)
        ]
        if names:
            sets = ", ".join(f"{name} = ?" for name in names)
            values = [getattr(after, name) for name in names]
            connection.execute(f"UPDATE nodes SET {sets} WHERE id = ?", (*values, after.id))
    had = names_of(before) if before.known else []
    for name in names_of(after):
        if name in had:
            continue
        connection.execute("INSERT INTO node_names VALUES (?, ?)", (name, after.id))


def delete(connection: Connection, node_id: int) -> None:
    """Forget a node and what still waits to be sent to it."""
    connection.execute("DELETE FROM nodes WHERE id = ?", (node_id,))
    connection.execute("DELETE FROM node_names WHERE node_id = ?", (node_id,))
    connection.execute("DELETE FROM outbox WHERE node_id = ?", (node_id,))
