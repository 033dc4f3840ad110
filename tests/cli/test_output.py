"""How values become text."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.cli import output


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.04, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (192, "3 min 12 s"),
        (11_520, "3 h 12 min"),
        (3 * 86_400 + 7_300, "3 d 2 h"),
        (-2.0, "-2.0 s"),
    ],
)
def test_span(seconds: float | None, text: str) -> None:
    """A span of time is told in at most two units."""
    assert output.span(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "-"), (812, "812 B"), (62_500, "61 KB"), (3_000_000, "2.9 MB")],
)
def test_size(number: int | None, text: str) -> None:
    """A size is told in the unit that a person would use."""
    assert output.size(number) == text


def test_rfc3339_is_utc_with_milliseconds() -> None:
    """Machines get UTC, whatever the zone of this machine is."""
    assert output.rfc3339(0.25) == "1970-01-01T00:00:00.250Z"


def test_secrets_are_hidden_at_every_depth() -> None:
    """A secret stays hidden under any of its names, in lists, and in JSON inside a string."""
    value = {
        "node_secret": "x1",
        "mqtt": {"password": "x2", "host": "pi"},
        "wifi": [{"pass": "x3", "ssid": "home"}],
        "doc": json.dumps({"node_secret": "x4", "version": 3}),
        "sig": "x5",
        "claim_key": "x6",
        "key": "open",
    }
    text = output.dumps(output.redact(value))
    assert not any(f"x{n}" in text for n in range(1, 7))
    assert '"pi"' in text
    assert '"home"' in text
    assert '"open"' in text


def test_an_empty_secret_shows_that_it_is_empty() -> None:
    """Hiding an empty password would hide the reason of a refused login."""
    assert output.redact({"password": ""}) == {"password": ""}


@given(st.text())
def test_cleaned_text_cannot_steer_a_terminal(text: str) -> None:
    """What a node says never reaches the terminal as an escape, a new line or a turned direction."""
    assert not any(
        ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066" for c in output.clean(text)
    )


@given(st.binary(max_size=200))
@example(b"NaN")
@example(b'{"value": -Infinity}')
@example(b"[1e999]")
def test_any_payload_can_be_read(payload: bytes) -> None:
    """Showing a payload never fails, and what it gives can be written as UTF-8 and as JSON that every
    reader takes: a number that only Python knows is text."""
    text = output.dumps(output.readable(payload)).encode("utf-8", "surrogatepass")
    json.dumps(json.loads(text), allow_nan=False)
    assert json.loads(text) == output.readable(payload)


def test_a_payload_that_is_no_json_and_speaks_of_a_password_is_hidden() -> None:
    """A broken config that holds a password is not shown."""
    assert output.readable(b'{"wifi":{"pass":"hunter2"') == output.HIDDEN


def test_tables_are_tab_separated_where_nobody_looks() -> None:
    """A pipe gets one row a line, tabs between, no heading."""
    lines = output.table(("A", "B"), [("x", 1), (None, "a\tb")], output.Paint(io.StringIO()))
    assert lines == ["x\t1", "-\ta\N{REPLACEMENT CHARACTER}b"]


def test_tables_are_aligned_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets a heading and columns, and no blanks at the end of a line."""
    monkeypatch.setenv("NO_COLOR", "1")
    lines = output.table(("NODE", "B"), [("nd-ph-1", 1), ("x", None)], output.Paint(Terminal()))
    assert lines == ["NODE      B", "nd-ph-1   1", "x         -"]


@pytest.mark.parametrize("variable", [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_switched_off(
    variable: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_COLOR and TERM=dumb are honoured."""
    monkeypatch.setenv(*variable)
    assert output.Paint(Terminal())("x", "green") == "x"


def test_a_colour_never_carries_the_meaning_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The life of a node reads the same without colours."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    cell = output.life("offline")
    painted = output.Paint(Terminal()).cell(cell, cell)
    assert "\x1b[31m" in painted
    assert "○ offline" in painted
    assert output.Paint(Terminal(), wanted=False).cell(cell, cell) == "○ offline"


def test_documents_say_what_they_are() -> None:
    """Each JSON document begins with its schema."""
    assert list(output.document("gateway.x/1", {"a": 1})) == ["schema", "a"]
    assert output.document("gateway.x/1", [1]) == {"schema": "gateway.x/1", "items": [1]}
