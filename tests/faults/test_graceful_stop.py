"""SIGTERM while messages pour in: what was taken is finished or kept, what was not is the broker's."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, Peer, until

PLUGINS = Path(__file__).parent / "crash" / "plugins"
MESSAGES, NODES = 3000, 20
DONE = "SELECT node, seq FROM tally_effects ORDER BY rowid"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """With the queue that our own settings give it."""
    lines = ("allow_anonymous true", "max_queued_messages 100000", "max_inflight_messages 1000")
    with Mosquitto(tmp_path / "broker", lines=lines) as running:
        yield running


def gateway_on(
    tmp_path: Path, broker: Mosquitto, *more: Path, grace: float = 10.0
) -> GatewayProcess:
    folders = ", ".join(f'"{folder}"' for folder in (PLUGINS, *more))
    env = {
        "GATEWAY__PLUGINS__DIRS": f"[{folders}]",
        "GATEWAY__SHUTDOWN_GRACE": str(grace),
        "GATEWAY__LOG_LEVEL": "warning",
    }
    return GatewayProcess(tmp_path / "state", broker.port, env=env)


def pour(peer: Peer, first: int, last: int) -> None:
    """Messages of twenty nodes, as fast as they go; returns when the broker has the last one."""
    for number in range(first, last):
        node, seq = number % NODES, number // NODES + 1
        peer.say(
            f"hydro/gh-1/zn-1/nd-{node}/tally",
            {"n": number, "boot_id": "00000001", "seq": seq},
            wait=number == last - 1,
        )


def all_done_once(gateway: GatewayProcess, messages: int) -> None:
    """Each has its effect, none twice, and those of a node in their order."""
    until(lambda: len(gateway.rows(DONE)) >= messages, 60, f"{messages} effects")
    done = gateway.rows(DONE)
    assert [double for double, times in Counter(done).items() if times > 1] == []
    assert len(done) == messages
    for node in range(NODES):
        order = [seq for name, seq in done if name == f"nd-{node}"]
        assert order == sorted(order)


def test_sigterm_while_messages_pour_in(tmp_path: Path, broker: Mosquitto, peer: Peer) -> None:
    """It exits well within its time; after the next start each message has had its effect once, in the
    order of its node."""
    gateway = gateway_on(tmp_path, broker).start()
    pour(peer, 0, MESSAGES // 3)
    until(lambda: gateway.rows("SELECT 1 FROM tally_effects LIMIT 1"), 30, "the first effects")
    began = time.monotonic()
    assert gateway.process is not None
    gateway.process.send_signal(signal.SIGTERM)
    pour(peer, MESSAGES // 3, MESSAGES)
    assert gateway.process.wait(30) == 0
    assert time.monotonic() - began < 30
    with gateway:
        all_done_once(gateway, MESSAGES)


HANGS = (
    "import time\nfrom gateway import hookimpl\n"
    "@hookimpl\ndef node_hello(event):\n    time.sleep(3600)\n"
)


def test_a_second_sigterm_is_obeyed_at_once(tmp_path: Path, broker: Mosquitto, peer: Peer) -> None:
    """While a stop waits for a plugin that hangs, with messages under way: the second signal ends it
    there and then, and nothing is lost or done twice."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "hangs.py").write_text(HANGS)
    gateway = gateway_on(tmp_path, broker, tmp_path / "plugins", grace=300.0).start()
    peer.say("hydro/node_hello", {"message_type": "node_hello", "hardware_id": "n"})
    until(
        lambda: gateway.rows("SELECT 1 FROM delivery WHERE plugin = 'hangs'"), 30, "a hanging call"
    )
    pour(peer, 0, MESSAGES // 3)
    until(lambda: gateway.rows("SELECT 1 FROM tally_effects LIMIT 1"), 30, "the first effects")
    assert gateway.process is not None
    gateway.process.send_signal(signal.SIGTERM)
    pour(peer, MESSAGES // 3, MESSAGES // 2)
    time.sleep(1.0)  # one signal that comes twice at once is one wish; this is another one
    assert gateway.process.poll() is None
    gateway.process.send_signal(signal.SIGTERM)
    assert gateway.process.wait(5) == 128 + signal.SIGTERM
    with gateway:
        all_done_once(gateway, MESSAGES // 2)
