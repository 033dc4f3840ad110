"""What the broker lets us do (field failure E1): asked once, because nothing else would say so.

A broker whose ACL forbids a topic acknowledges what is published there and throws it away, and takes
subscriptions that never bring anything. Only MQTT 5 has a word for the first, so one short connection
asks in MQTT 5, whatever version the sessions speak; the second shows when our own words do not come
back. A broker that speaks no MQTT 5 cannot be asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from gateway.errors import BrokerError
from gateway.mqtt.connection import Connection
from gateway.mqtt.errors import RefusedPublishError
from gateway.mqtt.link import LinkOptions, context_of, login_of
from gateway.mqtt.reader import Arrived

PATIENCE = 10.0
ECHO = 3.0


class Rights(NamedTuple):
    """What is forbidden: topics that we may not write, and one that we may write and not read."""

    write: tuple[str, ...] = ()
    read: tuple[str, ...] = ()


async def missing(options: LinkOptions, letters: Mapping[str, bytes], echo: str) -> Rights:
    """Publish `letters` (topic -> payload), and listen to ourselves on the topic `echo`.

    Empty where the broker cannot be asked.
    """
    heard = asyncio.Event()

    def arrived(messages: list[Arrived]) -> None:
        if any(message.topic == echo for message in messages):
            heard.set()

    login = login_of(options, "rights", context_of(options))
    connection = Connection(
        login._replace(version="5", lasting=False),
        on_arrived=arrived,
        on_lost=lambda _error: None,
        on_bytes=lambda _at: None,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            await connection.open()
            await connection.subscribe([echo])
            written = [
                topic for topic, body in letters.items() if await _lost(connection, topic, body)
            ]
            deaf = not await _lost(connection, echo, b"") and not await _within(heard, ECHO)
    except (BrokerError, TimeoutError):
        return Rights()
    finally:
        await connection.close()
    return Rights(tuple(written), (echo,) if deaf else ())


async def _lost(connection: Connection, topic: str, body: bytes) -> bool:
    """True where the broker throws it away."""
    try:
        await connection.send(topic, body, 1, False)
    except RefusedPublishError:
        return True
    return False


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
