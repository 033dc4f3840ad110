"""What a plugin raised, put in words on the plugin's own thread: nobody else touches the object.

An exception is the plugin's code too: its `__str__` may raise, and its text may be no text.
"""

from __future__ import annotations

import traceback
from typing import NamedTuple

from gateway.errors import StoreTroubleError

_REASON, _TRACE = 500, 4000


class Failure(NamedTuple):
    """`is_store` where the disk did not answer: that is nobody's failure, and is asked again."""

    reason: str
    trace: str = ""
    is_store: bool = False

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """In words; never raises."""
        name = type(error).__name__
        try:
            reason = f"{name}: {error}"
        except BaseException:  # noqa: BLE001 - the plugin's own, and its own failure
            reason = f"{name}, which cannot even say what it is"
        trace = "".join(traceback.format_exception(error))
        return cls(
            _text(reason[:_REASON]), _text(trace[-_TRACE:]), isinstance(error, StoreTroubleError)
        )


def _text(words: str) -> str:
    """Without what no database takes: half of a pair."""
    return words.encode("utf-8", "backslashreplace").decode()
