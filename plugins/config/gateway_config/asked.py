"""What may be set in `[plugins.config]`, and what an operator may ask this plugin for."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway import Command


class Settings(msgspec.Struct, frozen=True, eq=False, weakref=True, forbid_unknown_fields=True):
    """`[plugins.config]`."""

    metrics: list[str] = []
    """Metrics that sensors of this fleet may have besides those of the protocol."""


class ConfigPush(Command, kw_only=True):
    """Queue a whole document; what it leaves out of the node's identity is filled in."""

    kind = "config.push"
    document: dict[str, Any]
    rotate: bool = False
    """Give the node a new node_secret with it."""
    author: str = ""


class ConfigSet(Command, kw_only=True):
    """Change one value of the desired document; None takes the key away."""

    kind = "config.set"
    path: str
    value: Any = None
    author: str = ""


class ConfigRollback(Command, kw_only=True):
    """Queue an old revision's document under a new number, with today's identity and secret."""

    kind = "config.rollback"
    revision: int
    author: str = ""


class ConfigRetry(Command, kw_only=True):
    """Try once more what has ended."""

    kind = "config.retry"
    author: str = ""


class NodesBind(Command, kw_only=True):
    """Bind a node to a greenhouse and a zone; done when the node reports from there."""

    kind = "nodes.bind"
    gh: str
    zone: str
    author: str = ""


class NodesUnbind(Command, kw_only=True):
    """Take a node out of its zone, also if it does not hear it."""

    kind = "nodes.unbind"
    author: str = ""


COMMANDS = (ConfigPush, ConfigSet, ConfigRollback, ConfigRetry, NodesBind, NodesUnbind)
