"""The gateway as `startup`, jobs and questions see it (`gateway.api.Host`)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from gateway.api import Node, Problem

if TYPE_CHECKING:
    from gateway.flow.parts import Parts
    from gateway.mqtt.link import Link
    from gateway.settings.model import Settings


class HostView:
    """Answers from memory and from the committed state; safe from any thread."""

    def __init__(self, settings: Settings, parts: Parts, link: Link) -> None:
        self._settings = settings
        self._parts = parts
        self._link = link

    @property
    def root(self) -> str:
        """`[mqtt] root`."""
        return self._settings.mqtt.root

    @property
    def registration(self) -> Literal["open", "approve", "claim"]:
        """`[security] registration`."""
        return self._settings.security.registration

    @property
    def claim_key(self) -> str:
        """`[security] claim_key`."""
        return self._settings.security.claim_key

    @property
    def connected(self) -> bool:
        """True while both sessions are up."""
        return self._link.connected

    def observed(self) -> float:
        """The observed clock."""
        return self._parts.observed()

    def node(self, key: int | str) -> Node | None:
        """A node by id or name."""
        roster = self._parts.roster
        return roster.get(key) if isinstance(key, int) else roster.find(key)

    def nodes(self) -> list[Node]:
        """All nodes, newest first."""
        return self._parts.roster.all()

    def read(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        """Rows of the committed state."""
        return self._parts.reader.tuples(sql, *params)

    async def problems(self, document: Mapping[str, Any], node: Node) -> list[Problem]:
        """Every plugin's `validate_config`, joined; one that fails counts as a problem."""
        # an eager plugin is driven without a task up to its first wait; what follows needs one
        await asyncio.sleep(0)
        found: list[Problem] = []
        for plugin, bound in self._parts.registry.targets("validate_config"):
            asked = self._parts.runners.ask(
                plugin, bound, document=document, node=node, config=plugin.config
            )
            try:
                answer = await asyncio.wait_for(asyncio.wrap_future(asked), 5.0)
            except Exception as error:  # noqa: BLE001 - a plugin's failure is its own
                found.append(Problem("", f"plugin {plugin.name} could not check it: {error!r}"))
            else:
                found.extend(answer or ())
        return found
