"""Which broker is used: the rule, and what is remembered of it."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.broker.choose import MEMORY, Target, choose, decide, speaks_mqtt
from gateway.settings.model import Broker, Mqtt, Settings
from gateway.testing.broker import Mosquitto, free_port

REMEMBERED = st.sampled_from([None, "embedded", "external", "nonsense"])


@pytest.mark.parametrize(
    ("mode", "host", "remembered", "answers", "expected"),
    [
        ("auto", "", None, False, "embedded"),
        ("auto", "", None, True, "external"),
        ("auto", "", "embedded", True, "embedded"),
        ("auto", "", "external", False, "external"),
        ("auto", "", "nonsense", True, "external"),
        ("auto", "broker.lan", "embedded", False, "external"),
        ("embedded", "broker.lan", "external", True, "embedded"),
        ("external", "", "embedded", False, "external"),
    ],
)
def test_the_rule(
    mode: str, host: str, remembered: str | None, answers: bool, expected: str
) -> None:
    """A configured host is used, then what was remembered, then what answers, then our own."""
    assert decide(mode, host, remembered=remembered, answers=answers) == expected  # type: ignore[arg-type] # the parametrisation is not literal


@given(REMEMBERED, st.booleans())
def test_a_configured_host_is_never_replaced(remembered: str | None, answers: bool) -> None:
    """A broker that is slow to answer one day does not split the fleet."""
    assert decide("auto", "broker.lan", remembered=remembered, answers=answers) == "external"


@given(st.sampled_from(["embedded", "external"]), st.booleans())
def test_a_decision_stays(remembered: str, answers: bool) -> None:
    """What was decided once does not depend on who answers today."""
    assert decide("auto", "", remembered=remembered, answers=answers) == remembered


def settings(**mqtt: object) -> Settings:
    """Settings with this `[mqtt]`, and the embedded broker on port 4711."""
    return Settings(mqtt=Mqtt(**mqtt), broker=Broker(port=4711))  # type: ignore[arg-type] # the caller's fields


def test_an_embedded_broker_that_never_ran_is_not_remembered(tmp_path: Path) -> None:
    """Who has no wheel of it is told to install mosquitto; the next start finds that mosquitto."""
    with Mosquitto(tmp_path / "mosquitto") as broker:
        assert choose(settings(port=free_port()), tmp_path).embedded
        assert choose(settings(port=broker.port), tmp_path) == Target(
            "127.0.0.1", broker.port, False
        )


def test_nobody_answers(tmp_path: Path) -> None:
    """Without a configured host and without a neighbour the embedded broker is taken for good."""
    port = free_port()
    assert choose(settings(port=port), tmp_path) == Target("127.0.0.1", 4711, True)
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker/port").write_text("4711\n")  # it has run
    assert (tmp_path / MEMORY).read_text() == "embedded\n"
    with Mosquitto(tmp_path / "late", port=port):
        assert choose(settings(port=port), tmp_path).embedded


def test_a_neighbour_answers(tmp_path: Path) -> None:
    """A broker on this machine is used, and stays the one when it is slow to start one day."""
    with Mosquitto(tmp_path / "broker") as broker:
        expected = Target("127.0.0.1", broker.port, False)
        assert choose(settings(port=broker.port), tmp_path) == expected
    assert choose(settings(port=broker.port), tmp_path) == expected


def test_a_configured_host_is_not_remembered(tmp_path: Path) -> None:
    """Only a decision that was made by looking is written down."""
    target = choose(settings(host="broker.lan", port=8883), tmp_path)
    assert target == Target("broker.lan", 8883, False)
    assert not (tmp_path / MEMORY).exists()


@pytest.mark.parametrize("text", ["nonsense\n", "", "\xff"])
def test_a_damaged_memory_is_none(text: str, tmp_path: Path) -> None:
    """What nobody wrote there counts as nothing: it is looked again, and written anew."""
    (tmp_path / MEMORY).write_bytes(text.encode("latin-1"))
    with Mosquitto(tmp_path / "broker") as broker:
        expected = Target("127.0.0.1", broker.port, False)
        assert choose(settings(port=broker.port), tmp_path) == expected
    assert (tmp_path / MEMORY).read_text() == "external\n"


def test_a_broker_that_refuses_is_a_broker(tmp_path: Path) -> None:
    """A CONNACK with a refusal in it is an answer all the same."""
    lines = ["allow_anonymous false", f"password_file {tmp_path / 'users'}"]
    (tmp_path / "users").touch(0o600)
    with Mosquitto(tmp_path / "broker", lines=lines) as broker:
        assert speaks_mqtt("127.0.0.1", broker.port)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_another_service_is_no_broker(answer: bytes) -> None:
    """Who answers with something else, or hangs up, does not speak MQTT."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert not speaks_mqtt("127.0.0.1", server.getsockname()[1])
        thread.join()


def test_who_says_nothing_is_no_broker() -> None:
    """A service that accepts and waits for more is given up after the time-out."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not speaks_mqtt("127.0.0.1", server.getsockname()[1], timeout=0.05)
