"""Bad input: each refused with its word, counted, kept, acknowledged; the next good message works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, Peer, hello, until

BASE = "hydro/gh-temp/zn-temp/bad"
TOPICS = {
    "node_hello": "hydro/node_hello",
    "node_hello of a node": f"{BASE}/node_hello",
    "heartbeat": f"{BASE}/heartbeat",
    "status": f"{BASE}/status",
    "config_report": f"{BASE}/config_report",
    "lwt": f"{BASE}/lwt",
    "time": "hydro/time/request",
}
PAYLOADS: dict[str, tuple[bytes, str]] = {
    "not UTF-8": (b'{"a":"\xff\xfe"}', "not_utf8"),
    "not JSON": (b"{broken", "not_json"),
    "NaN": (b'{"uptime":NaN}', "not_json"),
    "duplicate keys": (b'{"uptime":1,"uptime":2}', "not_json"),
    "a megabyte": (b'{"x":"' + b"y" * 1_048_576 + b'"}', "too_big"),
    "nested 10,000 deep": (b"[" * 10_000 + b"]" * 10_000, "depth"),
    "wrong types": (b'{"boot_id":5,"seq":"x"}', "schema"),
    "a list": (b"[1,2]", "schema"),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatewayProcess, Peer]]:
    """One gateway for all of it: what one case leaves must not hurt the next."""
    folder = tmp_path_factory.mktemp("bad")
    with (
        Mosquitto(folder / "broker") as broker,
        GatewayProcess(folder / "state", broker.port) as running,
    ):
        peer = Peer(broker.port)
        yield running, peer
        peer.close()


def refused(gateway: GatewayProcess) -> list[tuple[int, str, str]]:
    return gateway.rows("SELECT id, topic, word FROM refused ORDER BY id")


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("topic", TOPICS)
def test_junk_is_refused_with_its_word(
    gateway: tuple[GatewayProcess, Peer], topic: str, payload: str
) -> None:
    """The word is that of the protocol, the message is kept as a dead letter, and the same node's next
    good message goes its way."""
    running, peer = gateway
    body, word = PAYLOADS[payload]
    before = len(refused(running))
    peer.say(TOPICS[topic], body)
    until(lambda: len(refused(running)) > before)
    assert refused(running)[-1][1:] == (TOPICS[topic], word)
    name = f"good-{before}"
    peer.say("hydro/node_hello", hello(name))
    until(lambda: running.node(name))


@pytest.mark.parametrize("topic", ["heartbeat", "config_report", "node_hello"])
def test_an_empty_payload_is_no_message(gateway: tuple[GatewayProcess, Peer], topic: str) -> None:
    """Nothing where something must be is refused; on status and will it is a deletion (D4)."""
    running, peer = gateway
    before = len(refused(running))
    peer.say(TOPICS[topic], b"")
    until(lambda: len(refused(running)) > before)
    assert refused(running)[-1][2] == "not_json"


@pytest.mark.parametrize(
    "name",
    ["x" * 300, "has space", "ünder", "..", "a" * 129],
    ids=["300", "space", "ü", "dots", "129"],
)
def test_a_name_that_breaks_the_rules_goes_nowhere(
    gateway: tuple[GatewayProcess, Peer], name: str
) -> None:
    """Not as a topic's segment and not as a hardware_id: no node, no row, no file."""
    running, peer = gateway
    before = len(refused(running))
    peer.say(f"hydro/gh-temp/zn-temp/{name}/heartbeat", {"uptime": 1, "free_heap": 1})
    peer.say("hydro/node_hello", hello(name))
    until(lambda: len(refused(running)) >= before + 2)
    assert [word for _, _, word in refused(running)[before:]] == ["topic", "schema"]
    assert running.node(name.lower()) is None


@pytest.mark.parametrize("name", ["a/b", "a+", "#", "a\0b", "a\nb", "\u202eabc", "\uff21"])
def test_what_a_broker_would_not_bring_is_refused_too(
    gateway: tuple[GatewayProcess, Peer], name: str
) -> None:
    """In a payload anything can stand: wildcards, NUL, line feeds and look-alikes name no node."""
    running, peer = gateway
    before = len(refused(running))
    peer.say("hydro/node_hello", hello(name))
    until(lambda: len(refused(running)) > before)
    assert refused(running)[-1][2] == "schema"


def test_retained_junk_is_refused_again_and_again(
    gateway: tuple[GatewayProcess, Peer],
) -> None:
    """Junk that is retained comes at each subscription; the gateway starts all the same."""
    running, peer = gateway
    peer.say(f"{BASE}/status", b"{junk", retain=True)
    running.stop()
    running.start()
    peer.say("hydro/node_hello", hello("after-junk"))
    node = until(lambda: running.node("after-junk"))
    peer.say(f"{BASE}/status", b"", retain=True)
    assert node["lifecycle_state"] == "REGISTERED_BACKEND"
    assert refused(running)[-1][2] == "not_json"


def test_dead_letters_and_memory_stay_bounded(gateway: tuple[GatewayProcess, Peer]) -> None:
    """Twenty thousand refused messages keep a thousand rows, and cost no memory that stays."""
    running, peer = gateway
    assert running.process is not None
    status = Path(f"/proc/{running.process.pid}/status")

    def resident() -> int:
        return int(status.read_text().split("VmRSS:")[1].split()[0])

    def flood(count: int) -> None:
        for number in range(count):
            peer.say(TOPICS["heartbeat"], b"{junk" + b"x" * 500, wait=number == count - 1)
        last = f"mark-{count}-{resident()}"
        peer.say("hydro/node_hello", hello(last))
        until(lambda: running.node(last), 60)

    flood(4000)
    before = resident()
    flood(16_000)
    assert resident() - before < 20_000  # kB; 16,000 such payloads alone would be more than 8,000
    (count,) = running.rows("SELECT count(*) FROM refused")[0]
    assert count == 1000


def run(state: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY")}
    env |= {"GATEWAY__STATE_DIR": state, "GATEWAY_CONFIG": os.devnull, **more}
    return subprocess.run(
        [sys.executable, "-m", "gateway", "run"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.split(":")[0] for line in done.stderr.splitlines()[:3]]


def test_a_state_folder_that_cannot_be() -> None:
    """A folder that nobody can write: three lines and exit 74."""
    done = run("/proc/hellogate")
    assert done.returncode == 74
    assert said(done) == ["error", "why", "next"]
    assert "--state-dir" in done.stderr


@pytest.mark.parametrize("label", ["store.made", "migrate.before", "migrate.statement"])
def test_a_disk_that_fails_at_the_start(tmp_path: Path, label: str) -> None:
    """An error of the disk while tables are made is three lines and exit 74, and no bug of ours."""
    done = run(str(tmp_path / "state"), HELLOGATE_FAILPOINT=f"{label}=eio")
    assert done.returncode == 74, done.stderr
    assert said(done) == ["error", "why", "next"]
    assert "Input/output error" in done.stderr


def test_a_broker_that_refuses_the_password(tmp_path: Path) -> None:
    """Three lines that name the setting, exit 77, and the password is not in them."""
    lines = ["allow_anonymous false", f"password_file {tmp_path}/pw"]
    (tmp_path / "pw").write_text("")
    (tmp_path / "pw").chmod(0o644)
    with Mosquitto(tmp_path / "broker", lines=lines) as broker:
        done = run(
            str(tmp_path / "state"),
            GATEWAY__MQTT__HOST="127.0.0.1",
            GATEWAY__MQTT__PORT=str(broker.port),
            GATEWAY__MQTT__USERNAME="me",
            GATEWAY__MQTT__PASSWORD="hunter2",
        )
    assert done.returncode == 77
    assert [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert "hunter2" not in done.stdout + done.stderr


def test_ten_mistakes_in_the_settings(tmp_path: Path) -> None:
    """`gateway check` tells all of them in one go, and exits 78."""
    mistakes = "\n".join(["[mqtt]", *(f"keepalve{n} = 1" for n in range(10))])
    (tmp_path / "gateway.toml").write_text(mistakes)
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "-c", str(tmp_path / "gateway.toml"), "check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    assert sum("unknown key" in line for line in (done.stdout + done.stderr).splitlines()) == 10


def test_what_is_dropped_is_counted(gateway: tuple[GatewayProcess, Peer]) -> None:
    """`dead drop` says how many went, refused messages included; of one that is not there, none."""
    running, peer = gateway
    peer.say(TOPICS["heartbeat"], b"{this is the last one")
    last = "SELECT 1 FROM refused WHERE CAST(payload AS TEXT) = '{this is the last one'"
    until(lambda: running.rows(last))
    there = len(refused(running))
    one = running.command("dead", "drop", f"r{refused(running)[0][0]}")
    assert one.stdout == "1 dead letter dropped\n"
    assert running.command("dead", "drop", "r999999").returncode == 65
    rest = running.command("dead", "drop", "--all", "--yes")
    assert rest.stdout == f"{there - 1} dead letter{'s' if there != 2 else ''} dropped\n"
    assert refused(running) == []
