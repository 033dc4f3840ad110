"""What an implementation of a hook may look like, and every way in which it does not.

Rules of this file. All faults of a plugin are found at once and told in words that name the hook;
pluggy would stop at the first, and stays silent about a misspelt hook. Nothing of the plugin is
called here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from typing import Any, NamedTuple

import pluggy

from gateway import hookspecs
from gateway.host.plugin import Bound

DECLARATIONS = frozenset({"manifest", "register_commands"})
"""Hooks that are called where no event loop runs."""


class Implementation(NamedTuple):
    """A decorated function of a plugin, and the hook that it says it is."""

    hook: str
    function: Callable[..., Any]
    wraps: bool
    optional: bool


class Hooks:
    """The specifications, behind one pluggy manager of our own."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspecs.NAME)
        self._manager.add_hookspecs(hookspecs)
        callers = vars(self._manager.hook)
        self.specs: dict[str, tuple[str, ...]] = {
            name: caller.spec.argnames
            for name, caller in callers.items()
            if isinstance(caller, pluggy.HookCaller) and caller.spec is not None
        }

    def implementations(self, plugin: object) -> Iterator[Implementation]:
        """The functions of a plugin that are marked with `@hookimpl`."""
        for attribute in dir(plugin):
            options = self._manager.parse_hookimpl_opts(plugin, attribute)
            if options is not None:
                wraps = bool(options.get("wrapper") or options.get("hookwrapper"))
                name = options.get("specname") or attribute
                function = getattr(plugin, attribute)
                yield Implementation(name, function, wraps, bool(options.get("optionalhook")))

    def faults(self, plugin: object) -> list[str]:
        """What is wrong with a plugin's hooks, each in a sentence."""
        found: list[str] = []
        seen: set[str] = set()
        for one in self.implementations(plugin):
            spec = self.specs.get(one.hook)
            if spec is None:
                if not one.optional:
                    found.append(f"{one.hook} is no hook" + did_you_mean(one.hook, self.specs))
                continue
            if one.hook in seen:
                found.append(f"{one.hook} is implemented twice")
            seen.add(one.hook)
            found += _faults_of(one, spec)
        if not seen and not found:
            found.append("it has no hook; is @hookimpl missing?")
        return found

    def bind(self, plugin: object, name: str) -> dict[str, Bound]:
        """Register a plugin without faults and bind its hooks. Raises what pluggy raises."""
        self._manager.register(plugin, name)
        bound: dict[str, Bound] = {}
        for caller in self._manager.get_hookcallers(plugin) or ():
            spec = self.specs.get(caller.name)
            if spec is None:
                continue
            for impl in caller.get_hookimpls():
                if impl.plugin is plugin:
                    rank = 0 if impl.tryfirst else 2 if impl.trylast else 1
                    bound[caller.name] = Bound(
                        caller.name, impl.function, spec, impl.argnames, impl.kwargnames, rank
                    )
        return bound


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "node_hello"?`, or nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def _faults_of(one: Implementation, spec: tuple[str, ...]) -> Iterator[str]:
    function = inspect.unwrap(one.function)
    if one.wraps:
        yield f"{one.hook} is a wrapper; hooks here cannot be wrapped"
    elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        yield f"{one.hook} yields; a hook must return"
    if one.hook in DECLARATIONS and inspect.iscoroutinefunction(function):
        yield f"{one.hook} must be `def`: no event loop runs when it is called"
    for parameter in inspect.signature(one.function).parameters.values():
        name, known = parameter.name, parameter.name in spec
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            yield f"{one.hook}: *{name} receives nothing; name the arguments that you want"
        elif parameter.kind is parameter.KEYWORD_ONLY:
            if known or parameter.default is parameter.empty:
                yield f"{one.hook}: {name} is keyword-only, and hooks receive plain arguments only"
        elif not known and parameter.default is parameter.empty:
            guess = did_you_mean(name, spec)
            yield f"{one.hook} has no argument {name!r}, only {', '.join(spec) or 'none'}{guess}"
