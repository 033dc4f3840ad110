"""A traceback of a board that runs an image, with the names that the node's files have.

Rules of this file. Pure. A short name may be that of a few functions: who is seen to call the next one is
the one it was, and where nobody is, all of them are named. What stands in its caller in the image is told
as the caller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Functions = dict[str, dict[str, list[str]]]
"""Short name -> what it may be -> the short names that stand in that one."""

_FRAME = re.compile(r'(File "(?:gwnode/[^"]*|[^"/.]*)"(?:, line \d+)?, in )(\w+)')
"""One in a file of the image, which is named by its last word, or by its path where it is frozen."""
MOST = 4


def explained(text: str, functions: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    """The same text; `functions` is what the build wrote."""
    frames = list(_FRAME.finditer(text))
    made, end = "", 0
    for frame, called in zip(frames, [*(frame[2] for frame in frames[1:]), ""], strict=True):
        made += text[end : frame.start()] + frame[1] + _plain(frame[2], called, functions)
        end = frame.end()
    return made + text[end:]


def _plain(name: str, called: str, functions: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    places = functions.get(name, {})
    likely = [place for place, said in places.items() if called in said] or list(places)
    return " or ".join(likely) if 0 < len(likely) <= MOST else name
