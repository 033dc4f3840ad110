"""Global options in any place: `run --state-dir X` means `--state-dir X run`.

Rules of this file. Pure; click's own parser sees what comes out of it.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

_GLOBAL_FLAGS = ("--no-color", "-v", "-vv", "-q", "--verbose", "--quiet")
_GLOBAL_VALUES = ("--state-dir", "--config", "-c")


def hoist(args: Sequence[str], ours: Container[str]) -> list[str]:
    """`run --state-dir X` as `--state-dir X run`, for our own commands only: a plugin's command may
    have options of these names."""
    front: list[str] = []
    rest: list[str] = []
    queue = list(args)
    command = ""
    while queue:
        word = queue.pop(0)
        if word == "--":
            rest += [word, *queue]
            break
        target = front if not command or command in ours else rest
        if word in _GLOBAL_FLAGS:
            target.append(word)
        elif word in _GLOBAL_VALUES and queue:
            target += [word, queue.pop(0)]
        elif word.startswith(("--state-dir=", "--config=")):
            target.append(word)
        else:
            rest.append(word)
            if not command and not word.startswith("-"):
                command = word
    return front + rest
