"""What the link hands to the intake, and what acknowledges it."""

from __future__ import annotations

from typing import NamedTuple

from gateway.mqtt.barrier import Barrier
from gateway.mqtt.reader import Arrived


class Token(NamedTuple):
    """What acknowledges a message; only good on the connection that brought it."""

    session: str
    connection: int
    mid: int


class Received:
    """A message for the intake; `token` is None where there is nothing to acknowledge (QoS 0)."""

    __slots__ = ("backlog", "dup", "payload", "qos", "retain", "session", "token", "topic")

    def __init__(self, session: str, arrived: Arrived, backlog: bool, token: Token | None) -> None:
        self.session = session
        self.topic, self.payload, self.qos, self.retain, self.dup, _ = arrived
        self.backlog = backlog
        self.token = token


def sort(
    batch: list[Arrived], name: str, number: int, barrier: Barrier
) -> tuple[list[Received], list[Token]]:
    """Messages for the intake, and the tokens of barriers, which nobody else sees."""
    messages: list[Received] = []
    swallowed: list[Token] = []
    for arrived in batch:
        token = Token(name, number, arrived.mid) if arrived.mid else None
        if barrier.swallow(arrived.topic, arrived.payload):
            swallowed += [token] if token else []
            continue
        # what is sent again was sent before: NATS does so on a live connection
        messages.append(Received(name, arrived, barrier.up or arrived.dup, token))
    return messages, swallowed
