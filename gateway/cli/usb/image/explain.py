"""A traceback of a board that runs an image, with the names that the node's files have.

Rules of this file. Pure. A method's name may be that of a few classes: then all of them are named, and
who called it says which one it was. One that every other class has (`__init__`) stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_FRAME = re.compile(r'(File "[^"]*"(?:, line \d+)?, in )(\w+)')
_MOST = 4


def explained(text: str, functions: Mapping[str, Sequence[str]]) -> str:
    """The same text; `functions` is what the build wrote: short name -> where it may be from."""

    def plain(frame: re.Match[str]) -> str:
        places = functions.get(frame[2], ())
        return frame[1] + (" or ".join(places) if 0 < len(places) <= _MOST else frame[2])

    return _FRAME.sub(plain, text)
