"""A coroutine that is driven from wait to wait: begun without a task, and each step of it measured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any

Timed = Callable[[Callable[[Any], Any], Any], Any]
"""`timed(step, value)` gives what `step(value)` does, and takes the time."""


class Steps:
    """To be awaited once; `begin` may come before, and needs no task around it."""

    def __init__(self, awaitable: Awaitable[None], timed: Timed) -> None:
        self._steps = awaitable.__await__()
        self._timed = timed
        self._first: Any = None
        self._begun = False

    def begin(self) -> bool:
        """Drive it to its first wait; False where it has come to its end. Raises what it raises."""
        self._begun = True
        try:
            self._first = self._timed(self._steps.send, None)
        except StopIteration:
            return False
        return True

    def __await__(self) -> Generator[Any, Any, None]:
        if not self._begun and not self.begin():
            return
        waiting = self._first
        while True:
            step: Callable[[Any], Any] = self._steps.send
            value: Any = None
            try:
                value = yield waiting
            except BaseException as error:  # noqa: BLE001 - passed on to the plugin's coroutine
                step, value = self._steps.throw, error
            try:
                waiting = self._timed(step, value)
            except StopIteration:
                return
