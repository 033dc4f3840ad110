"""What a broker's ACL forbids is found out, on brokers that can say so and on one that cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.mqtt.link import LinkOptions
from gateway.mqtt.rights import Rights, missing
from gateway.testing.broker import Broker, Mosquitto, Nats

LETTERS = {"hydro/gh/zn/nobody/config": b"{}", "hydro/time/response": b"{}"}
ECHO = "hydro/gh/zn/nobody/status"
Ask = Callable[..., Rights]


def found(broker: Broker) -> Rights:
    """The answer for a gateway whose sessions speak 3.1.1."""
    options = LinkOptions(host="127.0.0.1", port=broker.port)
    return asyncio.run(missing(options, LETTERS, ECHO))


@pytest.mark.parametrize(
    ("acl", "rights"),
    [
        ("topic readwrite #", Rights()),
        ("topic read #\ntopic write hydro/time/response", Rights(("hydro/gh/zn/nobody/config",))),
        ("topic read #", Rights(tuple(LETTERS))),
        ("topic write #", Rights((), (ECHO,))),
        ("topic read nothing", Rights(tuple(LETTERS))),
    ],
)
def test_an_acl_is_seen_through(tmp_path: Path, acl: str, rights: Rights) -> None:
    """Each right that is missing is named; where we may not write, reading cannot be told."""
    (tmp_path / "acl").write_text(f"{acl}\n")
    (tmp_path / "acl").chmod(0o644)
    lines = ["allow_anonymous true", f"acl_file {tmp_path / 'acl'}"]
    with Mosquitto(tmp_path / "broker", lines=lines) as broker:
        assert found(broker) == rights


def test_a_broker_without_mqtt_5_cannot_be_asked(tmp_path: Path) -> None:
    """No answer is no complaint, and no exception."""
    with Nats(tmp_path / "nats") as broker:
        assert found(broker) == Rights()


def test_a_broker_that_is_gone_cannot_be_asked(tmp_path: Path) -> None:
    """The same for one that went between our connect and the question."""
    broker = Mosquitto(tmp_path / "broker")
    assert found(broker) == Rights()
