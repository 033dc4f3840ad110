"""Failpoints: labelled steps at which the process can be made to die, fail or stall, chosen from outside.

As in etcd's gofail: the labels stand in the code for good, nothing happens at them unless the
environment names one, and a test proves that each label is reached and survived.
`HELLOGATE_FAILPOINT` holds terms separated by `;`, each `label=action` with an action of

- `kill`: this process ends by SIGKILL, as in a power cut as far as the process is concerned;
- `raise`: FailpointError; `eio`: OSError(EIO); `sleep:MS`: the thread stands still;
- `trace:FILE`: the label is appended to FILE the first time it is reached.

`@N` behind an action means the N-th time that the label is reached (default the first), `@N+` that
time and every later one; the label `*` stands for all of them.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from dataclasses import dataclass

from gateway.errors import SettingsError

VARIABLE = "HELLOGATE_FAILPOINT"
ACTIONS = ("kill", "raise", "eio", "sleep", "trace")


class FailpointError(Exception):
    """What `raise` raises."""


@dataclass
class _Term:
    action: str
    argument: str
    at: int
    on: bool
    reached: int = 0


_terms: dict[str, list[_Term]] = {}
_seen: set[str] = set()
_lock = threading.Lock()


def failpoint(label: str) -> None:
    """A labelled step. Costs a look at an empty dictionary where nothing is armed.

    Raises FailpointError or OSError where the environment wants that here.
    """
    if _terms:
        _reach(label)


def arm(text: str) -> None:
    """Take the place of what was armed; "" disarms. Raises SettingsError for what cannot be read."""
    terms: dict[str, list[_Term]] = {}
    for part in filter(None, (word.strip() for word in text.split(";"))):
        label, equals, rest = part.partition("=")
        action, _, times = rest.partition("@")
        action, _, argument = action.partition(":")
        number = times.removesuffix("+") or "1"
        if not (label and equals) or action not in ACTIONS or not number.isdigit():
            raise SettingsError(
                f"{VARIABLE} has {part!r}",
                why="a term is label=action, label=action@N or label=action@N+",
                hint=f"actions: {', '.join(ACTIONS)} (sleep:MILLISECONDS, trace:FILE)",
            )
        terms.setdefault(label, []).append(
            _Term(action, argument, int(number), times.endswith("+"))
        )
    _seen.clear()
    _terms.clear()
    _terms.update(terms)


def from_environment() -> None:
    """Arm what the environment names; called at every start. Raises SettingsError."""
    text = os.environ.get(VARIABLE, "")
    if text:
        arm(text)


def _reach(label: str) -> None:
    for term in (*_terms.get("*", ()), *_terms.get(label, ())):
        if term.action == "trace":
            _trace(label, term.argument)
            continue
        with _lock:
            term.reached += 1
            due = term.reached >= term.at if term.on else term.reached == term.at
        if due:
            _act(label, term)


def _act(label: str, term: _Term) -> None:
    if term.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)  # the signal is for the process; this thread must not run on meanwhile
    elif term.action == "sleep":
        time.sleep(float(term.argument or 0) / 1000)
    elif term.action == "eio":
        raise OSError(errno.EIO, os.strerror(errno.EIO), label)
    else:
        raise FailpointError(label)


def _trace(label: str, path: str) -> None:
    if label in _seen:
        return
    _seen.add(label)
    with open(path, "a", encoding="utf-8") as file:
        file.write(label + "\n")
