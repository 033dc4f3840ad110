"""What the link promises, on mosquitto with MQTT 3.1.1 and 5 and on the embedded broker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from gateway.errors import BrokerError
from gateway.mqtt import session
from gateway.mqtt.connection import Connection
from gateway.testing.stage import FILTERS, KINDS, Stage, beat, eventually, play, status

pytestmark = pytest.mark.parametrize("kind", KINDS)


def test_both_sessions_and_lists(kind: str, tmp_path: Path) -> None:
    """Each session brings its own topics, as lists, with what acknowledges them."""

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        scribe = await stage.link()
        assert scribe.link.connected
        peer = stage.peer()
        for number in range(50):
            peer.say(beat(number), str(number), wait=number == 49)
        peer.say(status("n"), "status")
        peer.say("hydro/node_hello", "hello")
        peer.say("hydro/gh/zn/n/unwanted", "unwanted")
        peer.say("hydro/gh/zn/n/pump/telemetry", "last")
        await eventually(lambda: len(scribe.messages) == 53)
        sessions = {m.topic.rpartition("/")[2]: m.session for m in scribe.messages}
        assert sessions == {
            "heartbeat": "bulk", "telemetry": "bulk", "status": "control", "node_hello": "control",
        }  # fmt: skip
        beats = [m.payload for m in scribe.messages if m.topic.endswith("heartbeat")]
        assert beats == [str(number).encode() for number in range(50)]
        assert all(m.qos == 1 and not m.retain and not m.backlog for m in scribe.messages)
        assert {len({m.session for m in part}) for part in scribe.lists} == {1}

    play(story, tmp_path, kind)


def test_unacknowledged_is_redelivered(kind: str, tmp_path: Path) -> None:
    """What was not acknowledged comes again on the next connection; what was, does not."""

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        proxy = await stage.proxy()
        scribe = await stage.link(proxy.port, ack=False)
        peer = stage.peer()
        for word in ("kept", "done"):
            peer.say(status(word), word)
        done = await scribe.hears(b"done")
        scribe.link.ack([done.token])
        await scribe.link.publish("elsewhere", b"behind the PUBACK")
        proxy.cut()
        await scribe.reconnected(2)
        await eventually(lambda: scribe.payloads.count(b"kept") == 2, scribe.payloads)
        peer.say(status("new"), "new")
        await scribe.hears(b"new")
        assert scribe.payloads.count(b"done") == 1

    play(story, tmp_path, kind)


def test_old_tokens_are_dropped(kind: str, tmp_path: Path) -> None:
    """A token of an older connection acknowledges nothing on the next one, whose ids are the same."""

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        proxy = await stage.proxy()
        scribe = await stage.link(proxy.port, ack=False)
        stage.peer().say(status("a"), "a")
        old = await scribe.hears(b"a")
        for count in (1, 2):
            proxy.cut()
            await scribe.reconnected(2 * count)
            await eventually(lambda n=count: scribe.payloads.count(b"a") > n, scribe.payloads)
            scribe.link.ack([old.token])
            await scribe.link.publish("elsewhere", b"behind the PUBACK that must not be")
        assert scribe.payloads.count(b"a") > 2, "the broker was told that it has arrived"

    play(story, tmp_path, kind)


def test_the_broker_crashes(kind: str, tmp_path: Path) -> None:
    """After a crash of the broker both sessions come back and are subscribed."""

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        scribe = await stage.link()
        await stage.crash()
        await eventually(lambda: not all(s.connected for s in scribe.states))
        await scribe.reconnected(2)
        peer = stage.peer()
        peer.say(status("a"), "control")
        peer.say(beat("a"), "bulk")
        assert (await scribe.hears(b"control")).session == "control"
        assert (await scribe.hears(b"bulk")).session == "bulk"

    play(story, tmp_path, kind)


def test_the_broker_says_goodbye(kind: str, tmp_path: Path) -> None:
    """An orderly stop is noticed at once, also where MQTT 5 announces it, and told in three parts."""

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        scribe = await stage.link()
        await stage.stop()
        await eventually(lambda: not scribe.link.connected, "the goodbye", 3)
        error = await scribe.trouble()
        assert str(stage.port) in error.what
        assert error.why
        assert error.hint
        with pytest.raises(BrokerError, match="not connected"):
            await scribe.link.publish("hydro/x", b"")
        await stage.start()
        await scribe.reconnected(2)
        assert scribe.states[-1].error is None

    play(story, tmp_path, kind)


def test_backlog_is_not_life(kind: str, tmp_path: Path) -> None:
    """What waited is flagged until our own barrier comes back; nobody ever sees the barrier."""

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        first = await stage.link()
        await first.link.stop()
        peer = stage.peer()
        for number in range(40):
            peer.say(beat(number), f"old {number}", wait=False)
            peer.say(status(number), f"old {number}", wait=number == 39)
        scribe = await stage.link()
        await eventually(lambda: len(scribe.messages) == 80)
        assert all(m.backlog for m in scribe.messages)
        await scribe.passed_barriers()
        for topic in (beat("n"), status("n")):
            peer.say(topic, topic)
            assert not (await scribe.hears(topic.encode())).backlog
        assert len(scribe.messages) == 82
        assert not [m.topic for m in scribe.messages if "barrier" in m.topic]

    play(story, tmp_path, kind)


def test_retained_is_flagged(kind: str, tmp_path: Path) -> None:
    """A retained message of the time before us says that it is one."""

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        peer = stage.peer()
        peer.say(status("a"), "from the past", retain=True)
        scribe = await stage.link()
        assert (await scribe.hears(b"from the past")).retain
        peer.say(status("a"), "alive", retain=True)
        assert not (await scribe.hears(b"alive")).retain

    play(story, tmp_path, kind)


def test_a_wide_filter_brings_no_barrier(kind: str, tmp_path: Path) -> None:
    """`hydro/#` matches the barriers of both sessions, and of other gateways; none is handed out."""

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        wide = {"control": ["hydro/#"], "bulk": FILTERS["bulk"]}
        first = await stage.link(filters=wide)
        await first.link.stop()
        scribe = await stage.link(filters=wide)
        await scribe.passed_barriers()
        peer = stage.peer()
        peer.say("hydro/system/barrier/another-gateway", "0123456789abcdef")
        peer.say("hydro/anything", "last")
        await scribe.hears(b"last")
        assert [m.topic for m in scribe.messages] == ["hydro/anything"]

    play(story, tmp_path, kind)


def test_a_publish_does_not_hang(kind: str, tmp_path: Path) -> None:
    """Whoever waits for a PUBACK hears of the connection's end, and so does who comes after it."""

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        proxy = await stage.proxy()
        scribe = await stage.link(proxy.port)
        await scribe.link.publish("hydro/time/response", b"well")
        proxy.silent = True
        waiting = [
            asyncio.ensure_future(scribe.link.publish("hydro/time/response", b"?"))
            for _ in range(3)
        ]
        await asyncio.sleep(0)
        proxy.cut()
        done = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
        assert [type(error) for error in done] == [BrokerError] * 3
        with pytest.raises(BrokerError, match="not connected"):
            await scribe.link.publish("hydro/time/response", b"too late")

    play(story, tmp_path, kind)


def test_many_publishes_at_once(kind: str, tmp_path: Path) -> None:
    """Nine hundred at once are all acknowledged, and arrive in their order."""

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        scribe = await stage.link()
        said = [str(number).encode() for number in range(900)]
        await asyncio.gather(*(scribe.link.publish(status("n"), word) for word in said))
        await eventually(lambda: len(scribe.messages) == len(said))
        assert scribe.payloads == said

    play(story, tmp_path, kind)


def test_paused_and_resumed(kind: str, tmp_path: Path) -> None:
    """While reading is paused nothing is handed out; afterwards everything is, once and in order."""

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        scribe = await stage.link()
        peer = stage.peer()
        scribe.link.pause()
        said = [str(number).encode() for number in range(300)]
        for word in said:
            peer.say(status("n"), word, wait=word == said[-1])
        assert scribe.messages == []
        scribe.link.resume()
        await eventually(lambda: len(scribe.messages) >= len(said))
        assert scribe.payloads == said
        assert len(scribe.lists) < len(said)

    play(story, tmp_path, kind)


def test_paused_over_a_reconnect(kind: str, tmp_path: Path) -> None:
    """A pause outlasts the connection in which it began, and does not keep the next from standing."""

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        scribe = await stage.link()
        scribe.link.pause()
        for one in scribe.link._sessions.values():
            assert one._connection is not None
            one._connection.drop(BrokerError("the cable"))
        await scribe.reconnected(2)
        stage.peer().say(status("n"), "later")
        assert scribe.messages == []
        scribe.link.resume()
        await scribe.hears(b"later")

    play(story, tmp_path, kind)


def test_filters_come_and_go(kind: str, tmp_path: Path) -> None:
    """A filter can be added and taken away, and one of the last run that nobody wants is given up."""

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        first = await stage.link()
        await first.link.subscribe("control", ["hydro/x/+", "hydro/y/+"])
        peer = stage.peer()
        peer.say("hydro/x/1", "added")
        await first.hears(b"added")
        await first.link.unsubscribe("control", ["hydro/x/+"])
        peer.say("hydro/x/1", "gone")
        peer.say("hydro/y/1", "still")
        await first.hears(b"still")
        assert b"gone" not in first.payloads
        await first.link.stop()
        second = await stage.link(stale_filters={"control": ["hydro/y/+"]})
        peer.say("hydro/y/1", "stale")
        peer.say(status("n"), "last")
        await second.hears(b"last")
        assert b"stale" not in second.payloads

    play(story, tmp_path, kind)


def test_a_filter_that_comes_while_connecting(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever subscribes while the link waits for the broker's answer is served on this connection."""

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        real = Connection.subscribe

        async def slow(self: Connection, filters: Iterable[str]) -> None:
            wanted = list(filters)
            await real(self, wanted)
            if "hydro/late/+" not in wanted and FILTERS["control"][0] in wanted:
                await scribe.link.subscribe("control", ["hydro/late/+"])

        monkeypatch.setattr(Connection, "subscribe", slow)
        scribe = await stage.link(ready=False)
        async with asyncio.timeout(20):
            await scribe.link.ready()
        stage.peer().say("hydro/late/1", "heard")
        assert (await scribe.hears(b"heard")).topic == "hydro/late/1"
        assert scribe.states[-1].reconnects == 0, "it took another connection"

    play(story, tmp_path, kind)


def test_binary_and_big(kind: str, tmp_path: Path) -> None:
    """Payloads are bytes: any byte, none, and 900 KiB in one piece; QoS 0 needs no acknowledgement."""

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        scribe = await stage.link()
        peer = stage.peer()
        payloads = [bytes(range(256)), b"x" * 900_000, b"", b"\x00"]
        for payload in payloads:
            peer.say(status("n"), payload)
        await eventually(lambda: len(scribe.messages) == len(payloads))
        peer._client.publish(status("n"), b"last", qos=0)
        assert (await scribe.hears(b"last")).token is None
        assert scribe.payloads[:-1] == payloads

    play(story, tmp_path, kind)


def test_a_half_open_connection(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection on which nobody answers is given up, and another one made."""
    monkeypatch.setattr(session, "PING", 0.05)
    monkeypatch.setattr(session, "DEAD_AFTER", 0.4)

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        proxy = await stage.proxy()
        scribe = await stage.link(proxy.port)
        proxy.silent = True
        await eventually(lambda: not scribe.link.connected)
        error = await scribe.trouble()
        assert error.why == "nothing was heard of it for 0.4 s"
        proxy.silent = False
        proxy.cut()  # what it swallowed would be missing for ever
        await scribe.reconnected(2)

    play(story, tmp_path, kind)


def test_half_open_before_the_barrier(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch is on from the first moment, also while the barrier is under way."""
    monkeypatch.setattr(session, "PING", 0.05)
    monkeypatch.setattr(session, "DEAD_AFTER", 0.4)

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        proxy = await stage.proxy()
        first = await stage.link(proxy.port)
        await first.link.stop()
        scribe = await stage.link(proxy.port, ready=False)
        states = scribe.states

        def connected(state: object) -> None:
            states.append(state)  # type: ignore[arg-type] # passed on
            proxy.silent = scribe.link.connected

        scribe.link._on_state = connected
        await eventually(lambda: proxy.silent)
        await eventually(lambda: not scribe.link.connected)
        assert any(state.error for state in scribe.states)
        scribe.link._on_state = states.append
        proxy.silent = False
        proxy.cut()
        await scribe.reconnected(1)

    play(story, tmp_path, kind)


def test_the_observed_clock(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on while the broker answers though no node speaks, and stands while nobody does."""
    monkeypatch.setattr(session, "PING", 0.05)

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        proxy = await stage.proxy()
        scribe = await stage.link(proxy.port)
        began = scribe.link.observed()
        await eventually(lambda: scribe.link.observed() > began + 0.2, "a quiet hour")
        assert scribe.messages == []
        bulk = scribe.link._sessions["bulk"]._connection
        assert bulk is not None
        proxy.silent = True
        stood = asyncio.get_running_loop().time() + 0.3
        await eventually(lambda: asyncio.get_running_loop().time() > bulk.heard_at + 0.2)
        before = scribe.link.observed()
        await eventually(lambda: asyncio.get_running_loop().time() > stood)
        assert scribe.link.observed() == before

    play(story, tmp_path, kind)


def test_suspended(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time in which this process did not run is nobody's silence: the connection stays."""
    monkeypatch.setattr(session, "PING", 0.05)

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        scribe = await stage.link()
        numbers = [s._number for s in scribe.link._sessions.values()]
        real = session.time.monotonic
        began = scribe.link.observed()
        monkeypatch.setattr(session.time, "monotonic", lambda: real() + 3600)
        await eventually(lambda: scribe.link.observed() > began + 0.2)
        assert scribe.link.connected
        assert [s._number for s in scribe.link._sessions.values()] == numbers
        assert scribe.link.observed() < began + 30

    play(story, tmp_path, kind)
