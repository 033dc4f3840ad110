"""How things look: tables, times, sizes, colours, JSON, errors, and what is never shown.

Rules of this file. No clock and no store: values come in, text goes out. A colour never carries a
meaning alone. Text that came from a node is cleaned before it reaches a terminal.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, Any

import click

from gateway.errors import GatewayError, SettingsError
from gateway.settings.secret import is_secret

HIDDEN = "***"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_COLOURS = {"green": "32", "yellow": "33", "red": "31", "dim": "2", "bold": "1"}
_DAY = 86_400


def clean(value: object) -> str:
    """Text without anything that would steer a terminal or break a line."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(value))


def redact(value: Any) -> Any:
    """The same document with every secret hidden, also inside JSON that travels as a string."""
    if isinstance(value, Mapping):
        return {
            key: HIDDEN if is_secret(str(key)) and kept not in (None, "") else redact(kept)
            for key, kept in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.dumps(redact(json.loads(value)), ensure_ascii=False)
        except (ValueError, RecursionError):
            return value
    return value


def readable(payload: bytes) -> Any:
    """A payload as JSON value with secrets hidden, else as cleaned text."""
    text = payload.decode("utf-8", "replace")
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False)  # NaN and 1e999 are numbers for Python alone
        return redact(value)
    except (ValueError, RecursionError):
        return HIDDEN if re.search(r"pass|secret|token", text, re.IGNORECASE) else clean(text)


def document(schema: str, data: Any) -> dict[str, Any]:
    """A JSON document that says what it is: `{"schema": "gateway.nodes.list/1", ...}`."""
    if isinstance(data, Mapping):
        return {"schema": schema, **data}
    return {"schema": schema, "items": list(data) if isinstance(data, list | tuple) else data}


def dumps(value: Any, *, indent: int | None = 2) -> str:
    """JSON text; what JSON does not know becomes a string."""
    return json.dumps(value, ensure_ascii=False, indent=indent, default=str)


def span(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3 min 12 s`, `3 h 12 min`, `4 d 2 h`; `-` for None."""
    if seconds is None:
        return "-"
    if seconds < 0:
        return "-" + span(-seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, part, part_name in (
        (_DAY, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // part} {part_name}"
    return f"{whole} s"


def clock(at: float | None, now: float | None = None) -> str:
    """`12:04:09` in local time, with the day where it is not the day of `now`; `-` for None."""
    if at is None:
        return "-"
    moment = datetime.fromtimestamp(at).astimezone()
    if now is not None and datetime.fromtimestamp(now).astimezone().date() != moment.date():
        return moment.strftime("%Y-%m-%d %H:%M:%S")
    return moment.strftime("%H:%M:%S")


def rfc3339(at: float | None) -> str | None:
    """UTC with milliseconds, for machines."""
    if at is None:
        return None
    moment = datetime.fromtimestamp(at, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def size(count: int | None) -> str:
    """`812 B`, `61 KB`, `2.4 MB`, `1.2 GB`; `-` for None."""
    if count is None:
        return "-"
    if count < 1024:
        return f"{count} B"
    if count < 1024**2:
        return f"{count // 1024} KB"
    return f"{count / 1024**2:.1f} MB" if count < 1024**3 else f"{count / 1024**3:.1f} GB"


def count(number: int, one: str, many: str = "") -> str:
    """`1 node`, `3 nodes`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def life(word: str) -> str:
    """A node's life with a mark that reads without colours."""
    marks = {
        "online": "●",
        "late": "◐",
        "asleep": "◌",
        "offline": "○",
        "seen": "·",
        "never_seen": "·",
    }
    return f"{marks.get(word, ' ')} {word.replace('_', ' ')}"


_LIFE_COLOURS = {"● online": "green", "◐ late": "yellow", "○ offline": "red"}


class Paint:
    """Colours for one stream, or none: NO_COLOR, TERM=dumb, `--no-color`, not a terminal."""

    def __init__(self, stream: IO[str], wanted: bool = True) -> None:
        self.tty = bool(getattr(stream, "isatty", lambda: False)())
        dumb = os.environ.get("TERM", "") == "dumb" or bool(os.environ.get("NO_COLOR"))
        self.on = wanted and self.tty and not dumb

    def __call__(self, text: str, colour: str) -> str:
        """The text in that colour."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self.on else text

    def cell(self, text: str, padded: str) -> str:
        """A table cell: its life in colour, everything else as it is."""
        colour = _LIFE_COLOURS.get(text)
        return self(padded, colour) if colour else padded


def table(head: Sequence[str], rows: Iterable[Sequence[object]], paint: Paint) -> list[str]:
    """Aligned lines with a heading on a terminal; elsewhere tab-separated lines without one."""
    cells = [["-" if cell is None else clean(cell) for cell in row] for row in rows]
    if not paint.tty:
        return ["\t".join(row) for row in cells]
    return aligned(head, cells, paint)


def aligned(head: Sequence[str], cells: Sequence[Sequence[str]], paint: Paint) -> list[str]:
    """Aligned lines with a heading, whatever the stream is."""
    widths = [max(len(row[i]) for row in [head, *cells]) for i in range(len(head))]
    lines = [paint("   ".join(h.ljust(w) for h, w in zip(head, widths, strict=True)), "bold")]
    for row in cells:
        padded = [
            paint.cell(c, c.ljust(w)) if i < len(row) - 1 else paint.cell(c, c)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("   ".join(padded).rstrip())
    return lines


def stdout_paint(wanted: bool) -> Paint:
    """Colours for stdout as it is now."""
    return Paint(sys.stdout, wanted)


def asked(question: str) -> bool:
    """A person's answer. Raises UsageError where nobody is there to give one."""
    try:
        return click.confirm(question, default=False, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise  # Ctrl+C
        click.echo("", err=True)
        ctx = click.get_current_context(silent=True)
        raise click.UsageError("nobody is here to answer: give --yes", ctx=ctx) from None


def report(error: Exception) -> int:
    """Print an error for a person on stderr; returns the exit code."""
    if isinstance(error, SettingsError) and error.problems:
        for line in problem_lines(error.problems):
            click.echo(line, err=True)
        _say("", "", "gateway check" if error.hint.startswith("gateway check") else error.hint)
        return error.exit_code
    if isinstance(error, GatewayError):
        _say(error.what, error.why, error.hint)
        return error.exit_code
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.Abort):
        click.echo("interrupted", err=True)
        return 130
    return _usage(error) if isinstance(error, click.ClickException) else _unexpected(error)


def _usage(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)  # half a command: its help is the answer
        return error.exit_code
    path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
    message = error.format_message().rstrip(".")
    hint = getattr(error, "hint", "") or f"{path or 'gateway'} --help"
    _say(message[:1].lower() + message[1:], getattr(error, "why", ""), hint)
    return error.exit_code


def _unexpected(error: Exception) -> int:
    if any(word in ("-v", "-vv", "--verbose") for word in sys.argv):
        import traceback

        traceback.print_exception(error)
    else:
        line = f"error: {type(error).__name__}: {error} (a bug; -v shows where)"
        click.echo(" ".join(line.split()), err=True)
    return 1


def _say(what: str, why: str, hint: str) -> None:
    for label, text in (("error:", what), ("why:  ", why), ("next: ", hint)):
        if text:
            click.echo(f"{label} {text}", err=True)


def problem_lines(problems: Sequence[Any]) -> list[str]:
    """`gateway.toml: 3 problems` and a line for each, with its place and what may be meant."""
    groups: dict[str, list[Any]] = {}
    for problem in problems:
        groups.setdefault(getattr(problem, "file", ""), []).append(problem)
    lines = []
    for file, found in groups.items():
        lines.append(f"{clean(file or 'settings')}: {count(len(found), 'problem')}")
        cells = [
            (
                f"line {p.line}, column {p.column}" if getattr(p, "line", 0) else "",
                clean(getattr(p, "message", p)),
                clean(getattr(p, "suggestion", "")),
            )
            for p in sorted(found, key=lambda p: (getattr(p, "line", 0), getattr(p, "column", 0)))
        ]
        places = max(len(cell[0]) for cell in cells)
        widest = max(len(cell[1]) for cell in cells)
        for place, message, suggestion in cells:
            start = f"  {place:<{places}}   " if places else "  "
            lines.append(f"{start}{message:<{widest}}   {suggestion}".rstrip())
    return lines
