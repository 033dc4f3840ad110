"""A plugin and its hooks, in the form in which the rest of the gateway meets them.

Rules of this file. Which arguments a hook wants is worked out once, when it is bound, so that a
call costs no look-up; where and when a hook is called is not known here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from gateway.api import Manifest
from gateway.protocol.messages import Event

State: TypeAlias = Literal["ready", "failed", "disabled", "absent"]
"""`absent` is what kept work waits for: something that was there in the last run."""

Call: TypeAlias = Callable[[Any, Any, Any, Any], Any]


class Bound:
    """One hook of one plugin.

    `argnames` are the arguments it wants, in its own order. `call(event, node, tx, config)` is for
    event hooks and passes the wanted ones of the four.
    """

    __slots__ = ("_keywords", "_places", "argnames", "call", "function", "is_async", "name", "rank")

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        spec: Sequence[str],
        argnames: Sequence[str],
        kwargnames: Sequence[str] = (),
        rank: int = 1,
    ) -> None:
        self.name = name
        self.function = function
        self.is_async = inspect.iscoroutinefunction(inspect.unwrap(function))
        self.rank = rank
        # an argument with a default that the hook does not have keeps its default; what comes
        # behind it can only be passed by name
        known = [name in spec for name in kwargnames]
        leading = known.index(False) if False in known else len(known)
        self._places = (*argnames, *kwargnames[:leading])
        self._keywords = tuple(name for name in kwargnames[leading:] if name in spec)
        self.argnames = (*self._places, *self._keywords)
        self.call = self._fast(tuple(spec))

    def ask(self, **values: Any) -> Any:
        """Call the hook with the wanted ones of these values (for hooks that are no events)."""
        places = [values[name] for name in self._places]
        return self.function(*places, **{name: values[name] for name in self._keywords})

    def _fast(self, spec: tuple[str, ...]) -> Call:
        function = self.function
        if self._places == spec and not self._keywords:
            return function  # nothing stands between the caller and the plugin
        places = tuple(spec.index(name) for name in self._places)
        keywords = {name: spec.index(name) for name in self._keywords}
        if not keywords:
            return lambda *values: function(*[values[place] for place in places])
        return lambda *values: function(
            *[values[place] for place in places],
            **{name: values[place] for name, place in keywords.items()},
        )

    def __repr__(self) -> str:
        return f"Bound({self.name}({', '.join(self.argnames)}))"


class Plugin:
    """A plugin, loaded or not; `error` says why it is not ready."""

    __slots__ = (
        "commands", "config", "error", "group", "hooks", "manifest", "messages", "migrations",
        "name", "origin", "state", "version",
    )  # fmt: skip

    def __init__(self, name: str, origin: str, *, version: str = "", group: str = "") -> None:
        self.name = name
        self.origin = origin
        """`bundled`, `entry point <dist> <version>` or `file <path>`."""
        self.version = version
        self.group = group or name
        """The loop thread that it shares: `bundled`, else its own."""
        self.manifest = Manifest()
        self.config: Any = None
        self.hooks: Mapping[str, Bound] = {}
        self.messages: Mapping[str, type[Event]] = {}
        self.commands: Mapping[str, type[Event]] = {}
        self.migrations: Path | None = None
        self.state: State = "ready"
        self.error = ""

    def fail(self, error: str, state: State = "failed") -> None:
        """Take it out of service."""
        self.state = state
        self.error = error

    def __repr__(self) -> str:
        return f"Plugin({self.name!r}, {self.state}, {self.origin})"
