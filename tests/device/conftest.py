"""A link played by hand: in MicroPython and in CPython, on a broker whose packets we may touch."""

from __future__ import annotations

import ast
import contextlib
import os
import select
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from gateway.testing.broker import Mosquitto

if TYPE_CHECKING:
    from in_image import InImage

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "device"), str(Path(__file__).parent)]  # gwnode and rig
UMQTT = ROOT / ".cache" / "umqtt"
PUBLISH = 0x30

DRIVER = r"""
import sys, time
from gwnode.link import BusyError, Link, LinkError
from gwnode import tls

ahead = longest = 0
def clock():
    now = time.ticks_ms if hasattr(time, "ticks_ms") else lambda: time.monotonic_ns() // 1000000
    return now() + ahead
def skip(ms):
    global ahead
    ahead += ms
def connect(port, keepalive=60, timeout_ms=5000, host="127.0.0.1", user=None, password=None, **more):
    global link
    link = Link("player", host, port, user, password, keepalive, clock=clock, **more)
    reopen(timeout_ms)
def reopen(timeout_ms=5000):
    link.open("will/player", "gone", timeout_ms)
    until(lambda came: link.is_open, timeout_ms + 1000)
def subscribe(topics):
    "What comes before the SUBACK."
    link.subscribe_all(topics)
    return until(lambda came: not link._asked)
def until(what, ms=10000):
    "Polls until it is so; everything that came meanwhile."
    global longest
    came, start = [], clock()
    while not what(came):
        if clock() - start > ms:
            raise ValueError("not within %d ms: %r" % (ms, came[-3:]))
        began = clock()
        came += [(topic, bytes(payload)) for topic, payload in link.poll(20)]
        longest = max(longest, clock() - began)
    return came
def settle():
    return until(lambda came: not link.in_flight)
def gather(count):
    return until(lambda came: len(came) >= count)
def flood(topic, count):
    "Sends as the window allows and hears itself: ids, ids still acked, numbers, widest window."
    ids, came, widest, start = [], [], 0, clock()
    while len(came) < count or link.in_flight:
        while link.can_send and len(ids) < count:
            ids.append(link.send(topic, b"%d" % len(ids)))
        widest = max(widest, link.in_flight)
        came += [int(bytes(payload)) for _, payload in link.poll(20)]  # messages would fill the heap
        if clock() - start > 20000:
            raise ValueError("%d sent, %d came" % (len(ids), len(came)))
    return ids, [pid for pid in ids if link.acked(pid)], came, widest
def session(port):
    "From CONNECT to the PUBACK; how it went."
    try:
        connect(port)
        subscribe(["c"])
        link.send("a/b", b"payload")
        settle()
    except LinkError as error:
        return str(error)
    return "done"
class Counting:
    def __init__(self, stream):
        self.stream, self.readinto, self.close = stream, stream.readinto, stream.close
        self.writes = []
    def write(self, data):
        self.writes.append(bytes(data))
        return self.stream.write(data)
def count_writes():
    link._wire._stream = Counting(link._wire._stream)
while True:
    line = sys.stdin.readline()
    if not line:
        break
    try:
        print(repr((None, eval(line, globals()))))
    except Exception as error:
        print(repr((type(error).__name__, str(error))))
    sys.stdout.flush()
"""


class PlayedError(Exception):
    """What the played expression raised: `name` is the type's."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


class Player:
    """An interpreter in which `link` and the driver's helpers are at hand."""

    def __init__(
        self, command: list[str], environment: dict[str, str], image: InImage | None = None
    ) -> None:
        self._image = image
        self._process = subprocess.Popen(
            [*command, "-c", image(DRIVER) if image else DRIVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
            bufsize=0,
        )

    def __call__(self, expression: str) -> Any:
        """Its value in there; raises PlayedError with what it raised."""
        assert self._process.stdin
        assert self._process.stdout
        expression = self._image(expression) if self._image else expression
        self._process.stdin.write(expression.encode() + b"\n")
        assert select.select([self._process.stdout], [], [], 30)[0], f"no answer to {expression}"
        answer = self._process.stdout.readline()
        assert answer, f"it died of {expression}"
        name, value = ast.literal_eval(answer.decode())
        if name is not None:
            raise PlayedError(self._image.plain(name) if self._image else name, value)
        return value

    def kill(self) -> None:
        """Without a goodbye to anybody."""
        self._process.kill()
        self._process.communicate()


def _packets(stream: bytearray) -> Iterator[bytes]:
    """Cut the whole packets off the front of what has come."""
    while len(stream) >= 2:
        size, shift, at = 0, 0, 1
        while at < len(stream):
            size |= (stream[at] & 127) << shift
            shift += 7
            at += 1
            if stream[at - 1] < 128:
                break
        else:
            return
        if len(stream) < at + size:
            return
        yield bytes(stream[: at + size])
        del stream[: at + size]


class Proxy:
    """A way to the broker on which packets are seen, changed, or swallowed without a sound."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.silent = False
        self.up: list[bytes] = []
        """Packets from the client."""
        self.down: Callable[[bytes], bytes] = bytes
        """What becomes of a packet from the broker."""
        self.budget: tuple[int, int] | None = None
        """Bytes (from the client, from the broker) that may pass before both sides get a reset."""
        self.passed = [0, 0]
        """Bytes that have passed, from the client and from the broker."""
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def published(self) -> list[bytes]:
        """The client's PUBLISH packets."""
        return [packet for packet in self.up if packet[0] & 0xF0 == PUBLISH]

    def _run(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            broker = socket.create_connection(("127.0.0.1", self._target))
            self._open += [client, broker]
            if self.budget is not None:
                self._run(self._count, client, broker, 0)
                self._run(self._count, broker, client, 1)
                continue
            self._run(self._pump, client, broker, self._from_client)
            self._run(self._pump, broker, client, lambda packet: self.down(packet))

    def _count(self, source: socket.socket, sink: socket.socket, way: int) -> None:
        assert self.budget
        left = self.budget[way]
        self.passed[way] = 0
        try:
            while data := source.recv(65536):
                self.passed[way] += len(data)
                sink.sendall(data[:left])
                left -= len(data)
                if left < 0:
                    break
        except OSError:
            pass
        for one in (source, sink):
            with contextlib.suppress(OSError):
                # lingering for no time at all is what makes a close a reset
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RD)
            one.close()

    def _from_client(self, packet: bytes) -> bytes:
        self.up.append(packet)
        return packet

    def _pump(
        self, source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes]
    ) -> None:
        stream = bytearray()
        try:
            while data := source.recv(65536):
                stream += data
                for packet in _packets(stream):
                    changed = change(packet)
                    if not self.silent:
                        sink.sendall(changed)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def close(self) -> None:
        """Cut everything."""
        self._server.shutdown(socket.SHUT_RDWR)
        for one in self._open:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join(10)
        for one in (self._server, *self._open):
            one.close()


@pytest.fixture(scope="session")
def umqtt() -> Path:
    """umqtt.simple: the copy in UMQTT_DIR, else 1.3.4, downloaded unless the set-up has done it."""
    if given := os.environ.get("UMQTT_DIR"):
        return Path(given).resolve()
    subprocess.run([sys.executable, ROOT / "tools" / "fetch_umqtt.py", "--quiet"], check=True)
    return UMQTT


@pytest.fixture(scope="session")
def image(umqtt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `gateway node image` makes of the node: a folder that stands for device/."""
    from in_image import made_image

    return made_image("mpy", umqtt, tmp_path_factory.mktemp("image") / "node")


@pytest.fixture(scope="session")
def script_image(umqtt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for scripts that call what is no function in it."""
    from in_image import made_to_be_asked

    return made_to_be_asked(umqtt, tmp_path_factory.mktemp("image") / "node")


@pytest.fixture(params=["files", "image"])
def node_files(request: pytest.FixtureRequest) -> Path:
    """What is on a board: the node's files as they are, or an image of them."""
    if request.param == "image":
        return Path(request.getfixturevalue("image"))
    return ROOT / "device"


@pytest.fixture(params=["micropython", "cpython", "image"])
def play(request: pytest.FixtureRequest, umqtt: Path) -> Iterator[Player]:
    """The same link in both interpreters, and as an image; a board's memory for MicroPython."""
    from in_image import ASKED, InImage

    if request.param == "cpython":
        places = {"PYTHONPATH": str(ROOT / "device"), "UMQTT_DIR": str(umqtt)}
        player = Player([sys.executable], places)
    else:
        command = [request.getfixturevalue("micropython"), "-X", "heapsize=256k"]
        files = {"MICROPYPATH": f"{ROOT / 'device'}:{umqtt}:.frozen"}
        if request.param == "image":
            image = request.getfixturevalue("script_image")
            player = Player(command, {"MICROPYPATH": f"{image}:.frozen"}, InImage(umqtt, ASKED))
        else:
            player = Player(command, files)
    yield player
    player.kill()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A mosquitto on a free port of the loopback."""
    with Mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def proxy(broker: Mosquitto) -> Iterator[Proxy]:
    """A way to that broker through our hands."""
    between = Proxy(broker.port)
    yield between
    between.close()


class Start(NamedTuple):
    """How an interpreter is started: `files` holds main.py and gwnode, `own` tells what a script on
    that board has to say for the node's own names."""

    words: list[str]
    environment: dict[str, str]
    files: Path
    own: Callable[[str], str] = str


@pytest.fixture(params=["micropython", "cpython", "image"])
def command(request: pytest.FixtureRequest, umqtt: Path, tmp_path: Path) -> Start:
    """The node in each interpreter, and as an image."""
    files = ROOT / "device"
    environment = {"UMQTT_DIR": str(umqtt), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    if request.param == "cpython":
        return Start([sys.executable, "-u"], environment, files)
    # a board has about as much as this for a node
    words = [request.getfixturevalue("micropython"), "-X", "heapsize=192k"]
    if request.param == "micropython":
        environment["MICROPYPATH"] = f"{files}:{umqtt}:.frozen"
        return Start(words, environment, files)
    from in_image import ASKED, InImage

    files = request.getfixturevalue("script_image")
    own = InImage(umqtt, ASKED)
    return Start(words, {**environment, "MICROPYPATH": f"{files}:.frozen"}, files, own)
