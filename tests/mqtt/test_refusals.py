"""Brokers that say no: each no is told with its reason, and met again without haste."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.errors import AuthError
from gateway.mqtt import connection
from gateway.testing.stage import Stage, eventually, play

VERSIONS = pytest.mark.parametrize("kind", ["mosquitto-3.1.1", "mosquitto-5"])
CONNACK = b"\x20\x02\x00\x00"
PLUGIN = "mosquitto_dynamic_security.so"


@VERSIONS
def test_a_refused_login_is_not_repeated_at_once(kind: str, tmp_path: Path) -> None:
    """Each session is refused once, for exit code 77; the password stands in no word of it."""
    users = tmp_path / "users"
    users.touch(0o600)

    async def story(stage: Stage) -> None:
        await stage.mosquitto("allow_anonymous false", f"password_file {users}")
        scribe = await stage.link(ready=False, username="me", password="hunter2")
        await eventually(lambda: len([s for s in scribe.states if s.error]) == 2)
        error = await scribe.trouble()
        assert isinstance(error, AuthError)
        assert error.exit_code == 77
        assert "hunter2" not in f"{error.what}{error.why}{error.hint}"
        assert [s._number for s in scribe.link._sessions.values()] == [1, 1]

    play(story, tmp_path, kind)


@VERSIONS
def test_rules_that_change(kind: str, tmp_path: Path) -> None:
    """A filter that the broker's rules forbid is named, and asked for again until they allow it."""
    found = sorted(Path("/usr/lib").rglob(PLUGIN))
    if not found:
        pytest.skip("mosquitto's dynamic security is not installed")
    rules = tmp_path / "rules.json"
    allowed = ("publishClientSend", "publishClientReceive", "unsubscribe")
    access = {"subscribe": False, **dict.fromkeys(allowed, True)}
    rules.write_text(json.dumps({"defaultACLAccess": access}))

    async def story(stage: Stage) -> None:
        plugin = (f"plugin {found[0]}", f"plugin_opt_config_file {rules}")
        await stage.mosquitto("allow_anonymous true", *plugin)
        scribe = await stage.link(ready=False)
        error = await scribe.trouble()
        assert error.what.startswith("the broker refuses the subscription to hydro/")
        assert "ACL" in error.hint
        rules.write_text(json.dumps({"defaultACLAccess": {**access, "subscribe": True}}))
        await stage.stop()
        await stage.start()
        await scribe.link.ready()

    play(story, tmp_path, kind)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([b"\x20\x02\x00\x01"], "protocol version"),
        ([b"\x20\x02\x00\x02"], "identifier"),
        ([b"\x20\x02\x00\x03"], "unavailable"),
        ([CONNACK, b"\x90\x05\x00\x01\x01\x80\x01"], "subscription to hydro/+/+/+/"),
        ([CONNACK, b"\x32\x05\x00\x01a\x00"], ""),
        ([CONNACK, b"\x00" * 64], ""),
    ],
    ids=["version", "name", "unavailable", "SUBACK", "no id", "zeros"],
)
def test_what_is_said_instead(
    answers: list[bytes], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the reason and all of its three parts; it goes on in the same version of MQTT."""
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT", 0.3)
    monkeypatch.setattr("gateway.mqtt.answers.TIMEOUT", 0.3)

    async def story(stage: Stage) -> None:
        async with stage.impostor(*answers) as heard:
            scribe = await stage.link(ready=False)
            error = await scribe.trouble()
            assert words in f"{error.what} {error.why}"
            assert error.why
            assert error.hint

            def connects() -> list[bytes]:
                return [data for data in heard if data[:1] == b"\x10"]

            await eventually(lambda: len(connects()) > 3, heard)
            assert all(b"\x00\x04MQTT\x04" in data for data in connects())
            assert scribe.messages == []
            await scribe.link.stop()

    play(story, tmp_path)


def test_the_embedded_broker_and_mqtt_5(tmp_path: Path) -> None:
    """It speaks 3.1.1 only: the error names the setting that asks for more."""

    async def story(stage: Stage) -> None:
        await stage.any_broker()
        scribe = await stage.link(ready=False, version="5")
        error = await scribe.trouble()
        assert "[mqtt] version" in error.hint

    play(story, tmp_path, "nats")
