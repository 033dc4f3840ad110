"""What a failed connection means, in the operator's words: what, why, and what to do next.

Pure functions; the reasons come in as the words of MQTT or of the operating system.
"""

from __future__ import annotations

from gateway.errors import AuthError, BrokerError

_REFUSED_LOGIN = {"Bad user name or password", "Not authorized"}
_AGAIN = "it is tried again by itself"


class RefusedFilterError(BrokerError):
    """The broker does not let us subscribe to a filter."""


class RefusedPublishError(BrokerError):
    """The broker does not let us publish to a topic."""


class NobodyListensError(BrokerError):
    """The machine is there, and no broker on it."""


def refused(where: str, username: str, reason: str) -> BrokerError:
    """The broker answered CONNECT with a no."""
    if reason in _REFUSED_LOGIN:
        return AuthError(
            f"the broker at {where} refuses our login",
            why=f"{reason} (user {username or 'none'!r})",
            hint="set [mqtt] username and password in gateway.toml",
        )
    return BrokerError(
        f"the broker at {where} refuses our connection",
        why=reason,
        hint="compare [mqtt] version and client_id in gateway.toml with the broker's settings",
    )


def refused_publish(topic: str, reason: str) -> BrokerError:
    """The broker answered PUBLISH with a no; only MQTT 5 can say so."""
    return RefusedPublishError(
        f"the broker refuses what we publish to {topic}",
        why=reason,
        hint="let the gateway's user write this topic in the broker's ACL",
    )


def refused_filter(name: str, reason: str) -> BrokerError:
    """The broker answered SUBSCRIBE with a no."""
    return RefusedFilterError(
        f"the broker refuses the subscription to {name}",
        why=reason,
        hint="let the gateway's user read this topic in the broker's ACL",
    )


def lost(where: str, reason: str) -> BrokerError:
    """The connection ended."""
    return BrokerError(f"the connection to the broker at {where} is lost", why=reason, hint=_AGAIN)


def hung_up(where: str, reason: str) -> BrokerError:
    """The connection ended before the broker had answered CONNECT."""
    return BrokerError(
        f"the broker at {where} hangs up on us",
        why=f"{reason.rstrip('.')}, before it answered",
        hint="that port may want TLS ([mqtt] tls = true), a client certificate ([mqtt] tls_cert), "
        "or speak something else than MQTT",
    )


def forgetful(where: str) -> BrokerError:
    """The connection stands, and a publish has had no answer for too long."""
    return BrokerError(
        f"the broker at {where} does not acknowledge what we publish",
        why="it has most likely restarted and forgotten it; on a new connection it is sent again",
        hint=_AGAIN,
    )


def silent(where: str, seconds: float) -> BrokerError:
    """The connection stands, and nobody answers on it."""
    return lost(where, f"nothing was heard of it for {seconds:g} s")


def taken_over(client_id: str) -> BrokerError:
    """Another client came with our name."""
    return BrokerError(
        f"another client uses the id {client_id}",
        why="the broker gave our session to it",
        hint="stop the other gateway, or give this one another [mqtt] client_id",
    )


def perhaps_taken_over(error: BrokerError, client_id: str) -> BrokerError:
    """It ends again and again right after it began; MQTT 3.1.1 has no words for the reason."""
    return BrokerError(
        error.what,
        why=f"{error.why}, again and again: perhaps another client uses the id {client_id}",
        hint="stop the other gateway, or give this one another [mqtt] client_id",
    )


def unreachable(where: str, reason: str, cause: Exception | None = None) -> BrokerError:
    """Nobody is there, or nobody who speaks."""
    kind = NobodyListensError if isinstance(cause, ConnectionRefusedError) else BrokerError
    return kind(
        f"cannot reach the broker at {where} ({reason})",
        why="[mqtt] host and port say so",
        hint="start it (sudo systemctl start mosquitto), "
        "or use the embedded one: gateway run --broker embedded",
    )


def not_connected() -> BrokerError:
    """Somebody asks for something while there is no connection."""
    return BrokerError("not connected to the broker", hint=_AGAIN)
