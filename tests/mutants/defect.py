"""A seeded defect."""

from __future__ import annotations

from typing import NamedTuple


class Defect(NamedTuple):
    """`old` stands exactly once in `file`."""

    name: str
    file: str
    old: str
    new: str
    test: str

    def applied(self, text: str) -> str:
        """The file with the defect in it."""
        return text.replace(self.old, self.new)
