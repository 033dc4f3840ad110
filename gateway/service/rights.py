"""Says at the start what the broker's ACL keeps us from (field failure E1).

Rules of this file. It is asked once, behind the first connect, and costs nobody anything: a gateway
that lacks a right runs all the same, and says what will not work. A gateway that logs in without a
name is not asked about: ACLs are for users, and others would hear our words to a node of nobody.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from gateway.mqtt.link import LinkOptions
from gateway.mqtt.rights import Rights, missing
from gateway.protocol.codec import encode
from gateway.protocol.topics import Topics

log = logging.getLogger(__name__)
_GHOST = "gw-rights"
"""A node that cannot exist: our ids begin with the board's kind."""


class RightsCheck:
    """The question, and its answer."""

    def __init__(self, story: Callable[[str, str], None]) -> None:
        self._story = story
        self._task: asyncio.Task[None] | None = None
        self.found = Rights()

    def ask(self, options: LinkOptions) -> None:
        """Ask in the background, the first time that this is called."""
        if self._task is None:
            self._task = asyncio.ensure_future(self._run(options))

    async def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def told(self) -> list[str]:
        """What is missing, in sentences."""
        lines = [f"may not publish to {topic}: {_costs(topic)}" for topic in self.found.write]
        return lines + [
            f"hears nothing on {topic}: nodes may not be heard" for topic in self.found.read
        ]

    async def _run(self, options: LinkOptions) -> None:
        topics = Topics(options.root)
        now = int(time.time())
        clock = {"message_type": "time_response", "unix_ts": now, "server_time": now}
        letters = {
            topics.hello_ack(_GHOST): b"{}",
            topics.temp_config(_GHOST): b"{}",
            topics.config(_GHOST, _GHOST, _GHOST): b"{}",
            topics.time_response(): encode(clock),
        }
        self.found = await missing(options, letters, topics.of(_GHOST, _GHOST, _GHOST, "status"))
        user = options.username or "(none)"
        for line in self.told():
            self._story("rights", f"the broker's ACL: user {user} {line}")


def _costs(topic: str) -> str:
    """What does not work without this."""
    if topic.endswith("/hello_ack"):
        return "nodes get no receipt and say hello for ever"
    if topic.endswith("/config"):
        return "configs are thrown away"
    return "nodes that ask for the time get none"
