"""The link on a real broker: nothing is lost without a word, nothing waits for ever."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.testing.broker import Mosquitto
from tests.interpreter import played

if TYPE_CHECKING:
    from conftest import Player, Proxy

ROOT = Path(__file__).parents[2]
PUBACK, SUBACK, PINGREQ, DUP = 0x40, 0x90, b"\xc0\0", 8


def test_ids_wrap_to_one(play: Player, broker: Mosquitto) -> None:
    """After packet id 65,535 comes 1, never 0, and the link goes on."""
    play(f"connect({broker.port})")
    play("setattr(link.flight, 'pid', 65529)")
    ids = [play("link.send('wrap', b'x')") for _ in range(8)]
    play("settle()")
    assert ids == [65530, 65531, 65532, 65533, 65534, 65535, 1, 2]
    assert all(play(f"link.acked({pid})") for pid in ids)


def test_an_id_in_flight_is_not_used_again(play: Player, proxy: Proxy) -> None:
    """An id whose PUBACK is still out is skipped when the count comes round."""
    play(f"connect({proxy.port})")
    proxy.silent = True
    play("setattr(link.flight, 'pid', 65533)")
    assert [play("link.send('a', b'')") for _ in range(3)] == [65534, 65535, 1]
    play("setattr(link.flight, 'pid', 65533)")
    assert play("link.send('a', b'')") == 2


def test_three_hundred_in_a_window(play: Player, broker: Mosquitto) -> None:
    """300 messages in a window of 8 are all acknowledged, and all come back in order."""
    play(f"connect({broker.port})")
    play("subscribe(['many'])")
    ids, acked, came, widest = play("flood('many', 300)")
    assert len(set(ids)) == 300
    assert acked == ids[-64:]
    assert came == list(range(300))
    assert widest <= 8


def test_a_full_window_says_so(play: Player, proxy: Proxy) -> None:
    """The ninth packet without an answer is refused, it does not wait."""
    play(f"connect({proxy.port})")
    proxy.silent = True
    for _ in range(8):
        play("link.send('a', b'')")
    assert play("(link.can_send, link.in_flight)") == (False, 8)
    with pytest.raises(Exception, match="BusyError: 8 in flight"):
        play("link.send('a', b'')")
    assert play("link.send('a', b'', False, 0)") == 0


def losing_one_puback() -> Callable[[bytes], bytes]:
    """A way from the broker that swallows the first PUBACK."""
    lost: list[bytes] = []

    def change(packet: bytes) -> bytes:
        if packet[0] == PUBACK and not lost:
            lost.append(packet)
            return b""
        return packet

    return change


def test_a_lost_puback_brings_a_duplicate(play: Player, proxy: Proxy) -> None:
    """Ten seconds without a PUBACK, and the same packet goes out again with DUP."""
    proxy.down = losing_one_puback()
    play(f"connect({proxy.port})")
    play("subscribe(['again'])")
    pid = play("link.send('again', b'x')")
    assert play("gather(1)") == [(b"again", b"x")]
    play("skip(9000), link.poll(0)")
    assert play("link.in_flight") == 1
    play("skip(1000), settle()")
    assert play(f"link.acked({pid})")
    first, second = proxy.published()
    assert second == bytes([first[0] | DUP]) + first[1:]


def test_pubacks_come_in_any_order(play: Player, proxy: Proxy) -> None:
    """A PUBACK that overtakes another frees its own packet, not the oldest."""
    proxy.down = losing_one_puback()
    play(f"connect({proxy.port})")
    play("link.send('a', '1'), link.send('a', '2')")
    play("until(lambda came: link.in_flight == 1)")
    play("skip(10000), settle()")
    first, _second, again = proxy.published()
    assert again[1:] == first[1:]


def test_a_half_open_broker_is_noticed(play: Player, proxy: Proxy) -> None:
    """A broker that took the ping and says nothing for ten seconds is gone."""
    play(f"connect({proxy.port})")
    proxy.silent = True
    play("skip(30000), link.poll(0)")
    # the clock runs on between two lines: a second is left for that
    play("skip(9000), link.poll(0)")
    with pytest.raises(Exception, match="LinkError: no PINGRESP"):
        play("skip(1001), link.poll(0)")
    assert play("link.can_send") is False


def test_a_quiet_broker_is_not_gone(play: Player, proxy: Proxy) -> None:
    """Silence is answered by a ping at half of the keepalive, and the answer keeps the link."""
    play(f"connect({proxy.port})")
    play("skip(28000), link.poll(0)")
    assert PINGREQ not in proxy.up
    play("skip(2000), link.poll(0)")
    play("until(lambda came: not link._pinged)")
    play("skip(11000), link.poll(0)")
    assert proxy.up.count(PINGREQ) == 1


def test_a_link_that_only_talks_pings_too(play: Player, proxy: Proxy) -> None:
    """QoS 0 gets no answers: whoever only sends it must still find out that nobody is there."""
    play(f"connect({proxy.port})")
    proxy.silent = True
    for _ in range(3):
        play("skip(10000), link.send('a', b'', False, 0), link.poll(0)")
    with pytest.raises(Exception, match="LinkError: no PINGRESP"):
        play("skip(10001), link.send('a', b'', False, 0), link.poll(0)")


def test_long_topics_are_subscribed(play: Player, broker: Mosquitto) -> None:
    """Topics beyond 127 bytes of packet, several at once, are subscribed right."""
    play(f"connect({broker.port})")
    play("subscribe(['t' * 150, 'gewächshaus/' + 'u' * 200])")
    play("link.send('t' * 150, 'one'), link.send('gewächshaus/' + 'u' * 200, 'two')")
    expected = [(b"t" * 150, b"one"), ("gewächshaus/".encode() + b"u" * 200, b"two")]
    assert play("gather(2)") == expected


def test_a_refused_subscription_raises(play: Player, proxy: Proxy) -> None:
    """A SUBACK of 0x80 ends the link with the topic's name: it would wait for nothing."""
    proxy.down = lambda packet: packet[:-1] + b"\x80" if packet[0] == SUBACK else packet
    play(f"connect({proxy.port})")
    with pytest.raises(Exception, match="LinkError: may not subscribe to secret/two"):
        play("subscribe(['one', 'secret/two'])")


def test_messages_ahead_of_the_suback_are_kept(play: Player, proxy: Proxy) -> None:
    """What comes ahead of a SUBACK is handed over, and nothing is sent before it."""
    late: list[bytes] = []

    def hold(packet: bytes) -> bytes:
        if packet[0] == SUBACK:
            late.append(packet)
            return b""
        return packet + late.pop() if late else packet

    play(f"connect({proxy.port})")
    play("link.send('kept', 'first', True), settle()")
    proxy.down = hold
    play("link.subscribe_all(['kept'])")
    assert play("link.can_send") is False
    assert play("gather(1)") == [(b"kept", b"first")]
    assert play("until(lambda came: not link._asked)") == []
    assert play("link.can_send") is True


def test_a_refused_login_tells_the_code(play: Player, proxy: Proxy) -> None:
    """The broker's code is part of the reason."""
    proxy.down = lambda packet: b"\x20\x02\0\x05" if packet[0] == 0x20 else packet
    with pytest.raises(Exception, match="LinkError: refused 5"):
        play(f"connect({proxy.port}, user='u', password='p')")


def test_a_broker_restart(play: Player, broker: Mosquitto) -> None:
    """A restart of the broker raises; open() on the same link works again."""
    play(f"connect({broker.port})")
    broker.stop()
    with pytest.raises(Exception, match="LinkError: "):
        play("until(lambda came: False)")
    with pytest.raises(Exception, match="LinkError: cannot connect"):
        play("reopen()")
    broker.start()
    play("reopen(), subscribe(['back']), link.send('back', b'1')")
    assert play("gather(1)") == [(b"back", b"1")]


def test_the_last_words_of_a_broker_are_heard(play: Player, broker: Mosquitto) -> None:
    """A message that came before the connection broke is handed over before that is told."""
    play(f"connect({broker.port})")
    play("subscribe(['last'])")
    play(
        "count_writes(), setattr(link._wire._stream, 'write', lambda data: link._wire.drop('cut'))"
    )
    broker.publish("last", "words")
    assert play("gather(1)") == [(b"last", b"words")]
    with pytest.raises(Exception, match="LinkError: cut"):
        play("link.poll(0)")


def test_a_megabyte_is_skipped(play: Player, broker: Mosquitto, tmp_path: Path) -> None:
    """A message of 1 MiB is reported and skipped in a board's memory; the next one arrives."""
    (tmp_path / "big").write_bytes(b"x" * (1 << 20))
    play(f"connect({broker.port})")
    play("subscribe(['big', 'small'])")
    words = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), "-q", "1", "-t", "big"]
    subprocess.run([*words, "-f", str(tmp_path / "big")], check=True, timeout=20)
    broker.publish("small", "next")
    assert play("gather(1)") == [(b"small", b"next")]
    assert play("link.oversized()") == (b"big", 1 << 20)
    broker.publish("small", "and on")
    assert play("gather(1)") == [(b"small", b"and on")]


@pytest.mark.parametrize(("size", "arrives"), [(4608, True), (4609, False)])
def test_the_limit_is_exact(play: Player, broker: Mosquitto, size: int, arrives: bool) -> None:
    """A payload of max_payload arrives, one byte more is skipped."""
    play(f"connect({broker.port})")
    play("subscribe(['edge', 'end'])")
    play(f"link.send('edge', b'x' * {size}), link.send('end', b'')")
    came = play("until(lambda came: came and came[-1][0] == b'end')")
    assert [len(payload) for _topic, payload in came] == ([size, 0] if arrives else [0])
    assert play("link.oversized()") == (None if arrives else (b"edge", size))


def test_text_is_counted_in_bytes(play: Player, broker: Mosquitto) -> None:
    """Characters of several bytes do not break the stream."""
    play(f"connect({broker.port})")
    play("subscribe(['größe'])")
    play("link.send('größe', 'zwölf °C'), link.send('größe', 'next')")
    assert [payload.decode() for _topic, payload in play("gather(2)")] == ["zwölf °C", "next"]


def test_a_packet_is_one_write(play: Player, broker: Mosquitto) -> None:
    """SUBSCRIBE, PUBLISH and the PUBACKs of one poll are one write each."""
    play(f"connect({broker.port})")
    play("count_writes()")
    play("subscribe(['a', 'b', 'c'])")
    play("link.send('a', b'1')")
    play("gather(1), settle()")
    writes = play("link._wire._stream.writes")
    assert [packet[0] for packet in writes] == [0x82, 0x32, PUBACK]


@pytest.mark.parametrize(("ending", "words"), [("kill", b"gone"), ("close", b"peace")])
def test_the_will(play: Player, broker: Mosquitto, ending: str, words: bytes) -> None:
    """The retained will is the broker's last word after a cut, and is not said after close()."""
    play(f"connect({broker.port})")
    call = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(broker.port), "-t", "will/#", "-C", "1"]
    if ending == "close":
        play("link.send('will/player', 'peace', True), settle(), link.close()")
    play.kill()
    heard = subprocess.run([*call, "-W", "10"], check=True, capture_output=True, timeout=20)
    assert heard.stdout.strip() == words


MOST = 1 << 20


def test_a_reset_at_every_byte(play: Player, proxy: Proxy) -> None:
    """From CONNECT to PUBACK, in either direction, a reset behind any byte ends as LinkError at once;
    no call takes 2 s, and the next session on a whole way works."""
    proxy.budget = (MOST, MOST)
    assert play(f"session({proxy.port})") == "done"
    up, down = proxy.passed
    assert up > 60
    assert down > 12
    cuts = [(n, MOST) for n in range(up)] + [(MOST, n) for n in range(down)]
    for cut in cuts:
        proxy.budget = cut
        assert play(f"session({proxy.port})") != "done", cut
    proxy.budget = (MOST, MOST)
    assert play(f"session({proxy.port})") == "done"
    assert play("longest") < 2000


def test_a_thousand_connections_cost_no_memory(
    micropython: str, umqtt: Path, broker: Mosquitto
) -> None:
    """What a connection took is free again: the last 900 of 1,000 leave the heap as the first 100 did."""
    script = f"""
import gc, time
from gwnode.link import Link
link = Link("player", "127.0.0.1", {broker.port}, clock=time.ticks_ms)
marks = []
for number in range(1000):
    link.open("will/player", "gone")
    while not link.is_open:
        link.poll(1000)
    link.send("a", b"1")
    while link.in_flight:
        link.poll(1000)
    link.close()
    if number in (99, 999):
        gc.collect()
        marks.append(gc.mem_free())
print(marks[0] - marks[1])
"""
    said = played(micropython, "-c", script, path=f"{ROOT / 'device'}:{umqtt}", heap="96k")
    assert abs(int(said)) < 256


@pytest.fixture
def mute() -> Iterator[socket.socket]:
    """A listener that never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as server:
        yield server


def took(play: Player, port: int) -> float:
    """Seconds that an open() with 400 ms takes to fail."""
    start = time.monotonic()
    with pytest.raises(Exception, match=r"LinkError: no (answer|TCP connection) in time"):
        play(f"connect({port}, timeout_ms=400)")
    assert play("longest") < 300, "no call waits for the whole of it"
    return time.monotonic() - start


def test_a_mute_listener_ends_in_time(play: Player, mute: socket.socket) -> None:
    """A listener that accepts and says nothing costs the deadline, not the node."""
    play("clock()")
    assert 0.39 < took(play, mute.getsockname()[1]) < 2


def test_a_black_hole_ends_in_time(play: Player, mute: socket.socket) -> None:
    """So does one whose queue is full, where not even TCP is answered."""
    mute.listen(0)
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(mute.getsockname())
    play("clock()")
    assert 0.39 < took(play, mute.getsockname()[1]) < 2
    for filler in fillers:
        filler.close()


def test_a_broker_that_stops_reading(play: Player, proxy: Proxy) -> None:
    """A write that nobody takes ends within its own deadline."""
    play(f"connect({proxy.port})")
    play("count_writes(), setattr(link._wire._stream, 'write', lambda data: None)")
    play("link.send('a', b'1')")
    assert play("(link.can_send, link.in_flight)") == (False, 1)
    play("skip(9000), link.poll(0)")
    with pytest.raises(Exception, match="LinkError: no write in time"):
        play("skip(1001), link.poll(0)")


def test_fetching_again_needs_no_network(umqtt: Path) -> None:
    """Once it is there, the fetcher says nothing and asks nobody."""
    nobody = {"https_proxy": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1"}
    call = [sys.executable, str(ROOT / "tools" / "fetch_umqtt.py"), "--quiet"]
    done = subprocess.run(call, env=nobody, capture_output=True, timeout=20, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
    assert (umqtt / "umqtt" / "simple.py").exists()
