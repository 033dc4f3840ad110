"""Three functions; one line for one fact. What they print is what a person sees on the serial line."""

import sys

_LEVELS = ("debug", "info", "error")
_least = 1


def level(name):
    """From debug, info, error: what is less than that is not printed."""
    global _least
    _least = _LEVELS.index(name)


def info(*words):
    if _least <= 1:
        _print(words)


def error(*words):
    _print(("error:",) + words)


def _print(words):
    print(*words)
    if hasattr(sys.stdout, "flush"):
        sys.stdout.flush()  # whoever reads a pipe wants the line now
