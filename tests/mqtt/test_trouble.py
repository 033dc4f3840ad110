"""What a broker can do to a link: refuse, throw out, lose, or talk rubbish. Each is told in words."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from pathlib import Path

import pytest

from gateway.errors import AuthError, BrokerError
from gateway.mqtt import connection, session
from gateway.testing.broker import Mosquitto
from gateway.testing.stage import Stage, eventually, play

CONNACK = b"\x20\x02\x00\x00"
REFUSED = b"\x90\x04\x00\x01\x01\x80"
BEAT = "hydro/gh-1/zn-1/nd-1/heartbeat"
VERSIONS = pytest.mark.parametrize("kind", ["mosquitto-3.1.1", "mosquitto-5"])


def close_lines(folder: Path, *more: str) -> list[str]:
    """A mosquitto that wants a password: user `gateway`, password `right`."""
    users = folder / "users"
    subprocess.run(["mosquitto_passwd", "-b", "-c", users, "gateway", "right"], check=True)
    users.chmod(0o600)
    return ["allow_anonymous false", f"password_file {users}", *more]


@VERSIONS
def test_a_wrong_password_is_an_error_of_its_own(kind: str, tmp_path: Path) -> None:
    """The state carries an AuthError that names the user, and a right password is taken."""

    async def story(stage: Stage) -> None:
        await stage.mosquitto(*close_lines(tmp_path))
        wrong = await stage.link(ready=False, username="gateway", password="wrong")
        error = await wrong.trouble()
        assert isinstance(error, AuthError)
        assert "'gateway'" in error.why
        assert "wrong" not in f"{error.what} {error.why} {error.hint}"
        assert not wrong.link.connected
        await wrong.link.stop()
        await stage.link(username="gateway", password="right")

    play(story, tmp_path, kind)


def test_a_refused_filter_is_named(tmp_path: Path) -> None:
    """A SUBACK with a failure is an error that says which filter it is."""

    async def story(stage: Stage) -> None:
        async with stage.impostor(CONNACK, REFUSED):
            filters = {"control": ["hydro/node_hello", "hydro/secret"], "bulk": []}
            scribe = await stage.link(ready=False, filters=filters)
            error = await scribe.trouble()
            assert "hydro/secret" in error.what
            assert "ACL" in error.hint
            await scribe.link.stop()

    play(story, tmp_path)


def test_a_filter_that_is_refused_later_is_forgotten(tmp_path: Path) -> None:
    """A handler's filter that the broker refuses does not keep the next connection from standing."""

    async def story(stage: Stage) -> None:
        granted = b"\x90\x03\x00\x01\x01"
        refused = b"\x90\x03\x00\x02\x80"
        async with stage.impostor(CONNACK, granted, refused):
            scribe = await stage.link(filters={"control": [], "bulk": []})
            with pytest.raises(BrokerError, match="hydro/secret"):
                await scribe.link.subscribe("control", ["hydro/secret"])
            assert scribe.link._sessions["control"].filters == []
            await scribe.link.stop()

    play(story, tmp_path)


@VERSIONS
def test_the_same_id_twice(kind: str, tmp_path: Path) -> None:
    """Another gateway with our id takes our session: the error says so, at the latest after a while."""

    async def story(stage: Stage) -> None:
        await stage.mosquitto()
        first = await stage.link(client_id="twin")
        second = await stage.link(client_id="twin", ready=False)
        await eventually(
            lambda: any(
                "another client uses the id twin" in f"{s.error.what} {s.error.why}"
                for scribe in (first, second)
                for s in scribe.states
                if s.error
            ),
            lambda: (first.states[-3:], second.states[-3:]),
            seconds=40,
        )
        assert any(len(scribe.states) > 1 for scribe in (first, second))
        await second.link.stop()

    play(story, tmp_path, kind)


def test_a_refused_publish_fails(tmp_path: Path) -> None:
    """MQTT 5 says that we may not write there: it does not count as published."""
    rules = tmp_path / "rules"
    rules.write_text("topic read hydro/#\ntopic readwrite hydro/system/#\n")
    rules.chmod(0o644)

    async def story(stage: Stage) -> None:
        await stage.mosquitto("allow_anonymous true", f"acl_file {rules}")
        scribe = await stage.link()
        with pytest.raises(BrokerError, match="hydro/denied"):
            await scribe.link.publish("hydro/denied", b"{}")
        assert scribe.link.connected

    play(story, tmp_path, "mosquitto-5")


@pytest.mark.parametrize("topic", ["", "hydro/+/x", "hydro/#", "x" * 70_000])
def test_an_impossible_topic_fails(topic: str, tmp_path: Path) -> None:
    """What MQTT cannot carry is an error of the caller, and harms nobody else."""

    async def story(stage: Stage) -> None:
        await stage.mosquitto()
        scribe = await stage.link()
        with pytest.raises(BrokerError):
            await scribe.link.publish(topic, b"{}")
        await scribe.link.publish("hydro/fine", b"{}")

    play(story, tmp_path)


@pytest.mark.parametrize(
    "rubbish",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\xff\xff\xff\xff\xff", CONNACK + b"\xff" * 64,
     CONNACK + b"\x30\x03\x00\x09x" * 9, CONNACK + b"\x90\x01\x00"],
    ids=["http", "length", "kind", "publish", "suback"],
)  # fmt: skip
def test_who_does_not_speak_mqtt(
    rubbish: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it answers, the state carries an error, and it is tried again."""
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT", 0.5)

    async def story(stage: Stage) -> None:
        async with stage.impostor(rubbish, rubbish) as heard:
            scribe = await stage.link(ready=False)
            assert (await scribe.trouble()).what
            await eventually(lambda: sum(b"MQTT" in data for data in heard) > 2, "another try")
            await scribe.link.stop()

    play(story, tmp_path)


def test_nobody_there_and_then_somebody(tmp_path: Path) -> None:
    """`start` returns at once, the state says who cannot be reached, and it connects when it can."""

    async def story(stage: Stage) -> None:
        broker = await stage.mosquitto()
        await stage.stop()
        began = time.monotonic()
        scribe = await stage.link(ready=False)
        assert time.monotonic() - began < 0.5
        error = await scribe.trouble()
        assert f"cannot reach the broker at 127.0.0.1:{broker.port}" in error.what
        await stage.start()
        began = time.monotonic()
        await scribe.link.ready()
        assert time.monotonic() - began < 5
        assert scribe.states[-1].error is None
        assert scribe.states[-1].reconnects == 0

    play(story, tmp_path)


def test_an_unknown_name(tmp_path: Path) -> None:
    """A host that no name server knows is an error with the name in it, not a crash."""

    async def story(stage: Stage) -> None:
        await stage.mosquitto()
        scribe = await stage.link(ready=False, host="broker.invalid")
        assert "broker.invalid" in (await scribe.trouble()).what

    play(story, tmp_path)


def test_a_barrier_that_the_queue_has_no_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full queue drops the barrier: it is sent again, so that life is soon called life."""
    monkeypatch.setattr(session, "PING", 0.2)

    async def story(stage: Stage) -> None:
        broker = await stage.mosquitto("allow_anonymous true", "max_queued_messages 100")
        await (await stage.link()).link.stop()
        await asyncio.to_thread(broker.publish_many, BEAT, map(str, range(300)))
        full = await stage.link(ack=False)
        await eventually(lambda: len(full.messages) >= 20)
        full.link.ack([message.token for message in full.messages])
        await eventually(lambda: len(full.messages) >= 100)
        full.link.ack([message.token for message in full.messages[20:]])
        await full.passed_barriers()
        stage.peer().say(BEAT, "live")
        assert not (await full.hears(b"live")).backlog
        assert all(message.backlog for message in full.messages[:-1])

    play(story, tmp_path)


def test_a_barrier_that_never_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the broker swallows it, the backlog ends all the same, with one warning for a session."""
    monkeypatch.setattr(session, "PING", 0.05)
    monkeypatch.setattr(session, "BARRIER_PATIENCE", 0.3)
    rules = tmp_path / "rules"
    rules.write_text("topic readwrite hydro/+/+/+/heartbeat\ntopic read hydro/#\n")
    rules.chmod(0o644)

    async def story(stage: Stage) -> None:
        await stage.mosquitto("allow_anonymous true", f"acl_file {rules}")
        await (await stage.link()).link.stop()
        scribe = await stage.link()
        assert scribe.link.state["bulk"].in_backlog
        await scribe.passed_barriers()
        stage.peer().say(BEAT, "live")
        assert not (await scribe.hears(b"live")).backlog

    play(story, tmp_path)
    assert caplog.text.count("barrier did not come back") == 2


def test_a_callback_that_fails(tmp_path: Path) -> None:
    """What the intake raises is logged, and the link goes on."""

    async def story(stage: Stage) -> None:
        await stage.mosquitto()
        scribe = await stage.link()
        taken = scribe.link._sessions["bulk"]._ears

        def fail(_messages: object) -> None:
            raise RuntimeError("the intake is broken")

        scribe.link._sessions["bulk"]._ears = taken._replace(on_messages=fail)
        peer = stage.peer()
        peer.say(BEAT, "lost on us")
        scribe.link._sessions["bulk"]._ears = taken
        peer.say(BEAT, "heard")
        await scribe.hears(b"heard")
        assert scribe.link.connected

    play(story, tmp_path)


@pytest.mark.parametrize("answer", [(), (CONNACK,)], ids=["no CONNACK", "no SUBACK"])
def test_stopping_while_it_connects(answer: tuple[bytes, ...], tmp_path: Path) -> None:
    """A stop in the middle of a connect is quick, and leaves no task and no socket."""

    async def story(stage: Stage) -> None:
        async with stage.impostor(*answer) as heard:
            scribe = await stage.link(ready=False)
            await scribe.link.stop()
            again = await stage.link(ready=False)
            await eventually(lambda: heard)
            began = time.monotonic()
            await again.link.stop()
            assert time.monotonic() - began < 3

    play(story, tmp_path)


def test_stopping_where_nobody_answers(tmp_path: Path) -> None:
    """A broker that is frozen does not keep us, with much or little to say goodbye to."""

    async def story(stage: Stage) -> None:
        broker = await stage.mosquitto()
        scribe = await stage.link()
        await asyncio.to_thread(broker.freeze)
        waiting = [
            asyncio.ensure_future(scribe.link.publish("hydro/x", b"x" * 100_000)) for _ in range(99)
        ]
        await asyncio.sleep(0)
        began = time.monotonic()
        await scribe.link.stop()
        assert time.monotonic() - began < 3
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(error, BrokerError) for error in found)
        await asyncio.to_thread(broker.thaw)

    play(story, tmp_path)


def test_acknowledgements_are_joined(tmp_path: Path) -> None:
    """The PUBACKs of a list are one write, and one for each session."""

    async def story(stage: Stage) -> None:
        broker = await stage.mosquitto("allow_anonymous true", "max_inflight_messages 1000")
        scribe = await stage.link(ack=False)
        await asyncio.to_thread(broker.publish_many, BEAT, map(str, range(300)))
        await eventually(lambda: len(scribe.messages) == 300)
        bulk = scribe.link._sessions["bulk"]._connection
        assert bulk is not None
        sent: list[bytes] = []
        monkey = bulk._client._sock_send
        bulk._client._sock_send = lambda data: sent.append(bytes(data)) or monkey(data)  # type: ignore[method-assign] # the wire is tapped
        scribe.link.ack([message.token for message in scribe.messages])
        await eventually(lambda: sent)
        assert len(sent[0]) == 300 * 4
        assert sent[0][:2] == b"\x40\x02"

    play(story, tmp_path)


def test_mosquitto_keeps_a_session_for_us(tmp_path: Path) -> None:
    """Both sessions are there again after an orderly stop, and the state says so."""

    async def story(stage: Stage) -> None:
        broker = await stage.mosquitto()
        assert isinstance(broker, Mosquitto)
        first = await stage.link()
        assert {s.session_present for s in first.link.state.values()} == {False}
        await first.link.stop()
        second = await stage.link()
        assert {s.session_present for s in second.link.state.values()} == {True}
        assert all(s.connected and s.error is None for s in second.link.state.values())

    play(story, tmp_path)


def test_nobody_listens_is_told_from_nobody_there() -> None:
    """A machine that refuses is a broker that restarts: it is tried again sooner."""
    from gateway.mqtt import errors

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        try:
            socket.create_connection(probe.getsockname(), 1).close()
        except OSError as error:
            found = errors.unreachable("x:1", str(error), error)
    assert isinstance(found, errors.NobodyListensError)
