"""What no broker would bring is fed to the intake itself; and settings that are wrong ten times."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from gateway.flow.intake import Intake
from gateway.protocol.messages import KNOWN
from gateway.settings.model import Limits
from gateway.store import migrations
from gateway.store.sqlite import Connection, open_writer
from gateway.testing import strategies

GOOD = b'{"message_type":"node_hello","hardware_id":"n"}'
BASE = "hydro/gh/zn"


class Desk:
    """An intake on a real store with stubs around it; a write is done when `commit` is called."""

    def __init__(self, path: Path, keep: int = 1000) -> None:
        self.connection = open_writer(path)
        migrations.migrate_core(self.connection)
        self.acked: list[Any] = []
        self.pushed: list[Any] = []
        self._writes: list[tuple[Callable[[Connection], Any], Future[Any]]] = []
        self._number = 0
        parts: Any = SimpleNamespace(
            observed=lambda: 0.0,
            name_in=lambda topic, _event: topic.name,
            roster=SimpleNamespace(lane=lambda name: name, find=lambda _name: None),
            handlers=SimpleNamespace(wants=lambda _topic: False),
            root="hydro",
            types={cls.kind: cls for cls in KNOWN},
            limits=Limits(),
            ids=SimpleNamespace(journal=self._next, refused=self._next),
            writer=SimpleNamespace(submit=self._submit),
        )
        lanes: Any = SimpleNamespace(push=self.pushed.extend)
        self.intake = Intake(parts, lanes, self.acked.extend, keep_refused=keep)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _submit(self, write: Callable[[Connection], Any]) -> Future[Any]:
        self._writes.append((write, Future()))
        return self._writes[-1][1]

    def commit(self) -> None:
        """What was submitted is on disk."""
        while self._writes:
            write, future = self._writes.pop(0)
            future.set_result(write(self.connection))

    def take(self, topic: str, payload: bytes, *, retain: bool = False, commit: bool = True) -> Any:
        """One message; its token."""
        token = object()
        message = SimpleNamespace(
            topic=topic, payload=payload, retain=retain, backlog=False, qos=1, session="control", token=token
        )  # fmt: skip
        self.intake.take([message])
        if commit:
            self.commit()
        return token

    def refused(self) -> list[tuple[str, str]]:
        """Topic and word of the dead letters."""
        return self.connection.execute("SELECT topic, word FROM refused ORDER BY id").fetchall()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk for one test."""
    made = Desk(tmp_path / "gateway.db")
    yield made
    made.connection.close()


@pytest.mark.parametrize(
    "name",
    ["+", "#", "a+", "a#", "a\0b", "x" * 300, "", " ", "a\nb", "\u202eb", "é", "\ud800", "'\""],
)
@pytest.mark.parametrize("kind", ["node_hello", "heartbeat", "status", "lwt", "config_report"])
def test_names_that_no_broker_brings(desk: Desk, kind: str, name: str) -> None:
    """Refused with `topic`, counted, kept, acknowledged after the commit; the next one works."""
    token = desk.take(f"{BASE}/{name}/{kind}", GOOD, commit=False)
    assert desk.acked == []
    desk.commit()
    assert desk.acked == [token]
    assert [word for _, word in desk.refused()] == ["topic"]
    assert desk.intake.counts["refused:topic"] == 1
    good = desk.take("hydro/node_hello", GOOD)
    assert desk.acked == [token, good]
    assert [item.kind for item in desk.pushed] == ["node_hello"]
    assert desk.intake.idle


@pytest.mark.parametrize("kind", ["status", "lwt"])
@pytest.mark.parametrize("retain", [False, True])
def test_nothing_is_a_deletion(desk: Desk, kind: str, retain: bool) -> None:
    """An empty status or will deletes a retained one: counted, acknowledged, no dead letter."""
    token = desk.take(f"{BASE}/n/{kind}", b"", retain=retain)
    assert (desk.acked, desk.refused(), desk.pushed) == ([token], [], [])
    assert desk.intake.counts["deletion"] == 1


def test_dead_letters_are_bounded(tmp_path: Path) -> None:
    """The newest are kept, and of each the first kilobyte, with the size that it had."""
    desk = Desk(tmp_path / "gateway.db", keep=10)
    for number in range(50):
        desk.take("hydro/node_hello", b"{" + b"%d" % number + b"x" * 5000)
    rows = desk.connection.execute("SELECT payload, detail FROM refused ORDER BY id").fetchall()
    assert [payload[:3] for payload, _ in rows] == [b"{%d" % n for n in range(40, 50)]
    assert {len(payload) for payload, _ in rows} == {1024}
    assert all("(5,003 bytes)" in detail for _, detail in rows)
    assert len(desk.acked) == 50
    desk.connection.close()


@hypothesis(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(strategies.hostile_topics(), strategies.topics().map(lambda found: found[0])),
    st.one_of(strategies.hostile_payloads().map(lambda found: found[0]), st.binary(max_size=200)),
    st.booleans(),
)
def test_whatever_comes_ends_counted(desk: Desk, topic: str, payload: bytes, retain: bool) -> None:
    """Every message has exactly one outcome, and is acknowledged exactly once."""
    counts, before = desk.intake.counts, len(desk.acked)
    outcomes = ("journaled", "refused", "deletion", "unwanted", "duplicate", "folded")
    had = sum(counts[name] for name in outcomes)
    token = desk.take(topic, payload, retain=retain)
    assert desk.acked[before:] == [token]
    assert sum(counts[name] for name in outcomes) == had + 1
    assert desk.intake.idle


TEN = """\
state_dirr = "x"
shutdown_grace = "2 mins"
[mqtt]
keepalve = 5
port = 70000
tls = "yes"
[security]
registration = "opne"
[limits]
payload = "64 apples"
json_depth = "16"
[store]
prune_done_rows = "7"
[plugin]
a = 1
"""


@pytest.mark.parametrize("command", ["check", "run"])
def test_ten_mistakes(command: str, tmp_path: Path) -> None:
    """Ten different mistakes are ten lines at once, exit 78, and nothing was started or made."""
    (tmp_path / "gateway.toml").write_text(TEN)
    env = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY")}
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "--state-dir", "state", command],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    lines = (done.stdout + done.stderr).splitlines()
    places = [line.split()[1] for line in lines if line.strip().startswith("line ")]
    assert places == [f"{n}," for n in (1, 2, 4, 5, 6, 8, 10, 11, 13, 14)]
    assert not (tmp_path / "state").exists()
