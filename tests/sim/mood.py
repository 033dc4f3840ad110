"""How the stranger's plugin (`stranger/auditor.py`) feels: it is a module, and so is this."""

from __future__ import annotations


def swing() -> None:
    """Called with each event; the world puts one in its place that raises now and then."""
