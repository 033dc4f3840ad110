"""`gateway plugins check PATH`: what the gateway, and a reader of the types, have against a plugin.

Rules of this file. A check only reads: no hook but `manifest` is called. What would keep the plugin
from being loaded is found by loading it the way the gateway does; on top come annotations that
promise something else than the hook receives, which mypy cannot see. Where to look is found in the
plugin's own source, so that an editor can go there.
"""

from __future__ import annotations

import inspect
import re
import traceback
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gateway import hookspecs
from gateway.api import Manifest
from gateway.host.admit import load_with_module
from gateway.host.contract import Hooks
from gateway.host.discover import attempt, from_file, may_be_plugin
from gateway.host.plugin import Bound, Plugin
from gateway.protocol.messages import Event


class Fault(NamedTuple):
    """One thing that is wrong."""

    text: str
    file: str = ""
    line: int = 0

    @property
    def place(self) -> str:
        """`file:line`, "" where there is none."""
        return f"{self.file}:{self.line}" if self.line else self.file


class Report(NamedTuple):
    """The plugin as far as it could be loaded, and everything found in a sentence each."""

    plugin: Plugin
    faults: list[Fault]

    @property
    def ok(self) -> bool:
        """True where nothing was found."""
        return not self.faults


def plugins_in(path: Path) -> list[Path]:
    """The plugin at this path, or those in this folder: a project's `gateway_...` packages, else
    everything that a folder of `[plugins] dirs` would bring."""
    if not path.is_dir() or (path / "__init__.py").is_file():
        return [path]
    found = sorted(one for one in path.iterdir() if may_be_plugin(one))
    return [one for one in found if one.name.startswith("gateway_")] or found


def check(path: Path) -> Report:
    """Look at the plugin in a file or package."""
    hooks = Hooks()
    candidate = from_file(path)
    plugin, module = load_with_module(candidate, hooks)
    if candidate.error:
        return Report(plugin, [Fault(candidate.error, str(path))])
    if module is None:
        return Report(plugin, [_not_imported(plugin.error, candidate.load, path)])
    faults = [] if plugin.state == "ready" else hooks.faults(module) or [plugin.error]
    faults += _unmarked(module, hooks)
    for bound in plugin.hooks.values():
        faults += _annotations(bound, plugin.manifest)
    if plugin.state == "ready":
        faults += _unheard(plugin)
    return Report(plugin, list(_placed(faults, module)))


def _not_imported(error: str, load: Callable[[], object], path: Path) -> Fault:
    """The line of the plugin at which its import ended."""
    folder = str(path if path.is_dir() else path.parent)
    try:
        load()
    except KeyboardInterrupt:
        raise
    except SyntaxError as wrong:
        return Fault(f"it is no Python: {wrong.msg}", wrong.filename or "", wrong.lineno or 0)
    except BaseException as wrong:  # noqa: BLE001 - a plugin's failure is its own
        for frame in reversed(traceback.extract_tb(wrong.__traceback__)):
            if frame.filename.startswith(folder):
                return Fault(error, frame.filename, frame.lineno or 0)
    return Fault(error)


def _placed(faults: Iterable[str], module: object) -> Iterator[Fault]:
    """Each fault with the place of the function that it begins with, else of the manifest."""
    for text in faults:
        word = re.match(r"\w+", text)
        named = getattr(module, word[0], None) if word else None
        function = named if inspect.isfunction(named) else getattr(module, "manifest", None)
        if inspect.isfunction(function):
            yield Fault(text, *_place_of(function))
        else:
            yield Fault(text, getattr(module, "__file__", None) or "", 1)


def _place_of(function: Callable[..., Any]) -> tuple[str, int]:
    """File and line of a function's `def`, behind its decorators."""
    code = inspect.unwrap(function).__code__
    lines, _ = attempt(lambda: inspect.getsourcelines(code))
    for number, line in enumerate(lines[0] if lines else ()):
        if re.match(r"\s*(async\s+)?def\s", line):
            return code.co_filename, code.co_firstlineno + number
    return code.co_filename, code.co_firstlineno


def _unmarked(module: object, hooks: Hooks) -> Iterator[str]:
    """Functions that are called like a hook and are none."""
    marked = {one.hook for one in hooks.implementations(module)}
    for name in hooks.specs:
        if name not in marked and inspect.isfunction(getattr(module, name, None)):
            yield f"{name} is never called: @hookimpl is missing"


def _unheard(plugin: Plugin) -> Iterator[str]:
    """Things that the manifest and the hooks do not agree about."""
    manifest, hears = plugin.manifest, "node_message" in plugin.hooks
    named = [cls.__name__ for cls in (*manifest.messages, *manifest.commands)]
    if not hears and (named or manifest.jobs):
        what = ", ".join(named + [f"job {job.name}" for job in manifest.jobs])
        yield f"the manifest lists {what}, but there is no node_message to receive it"
    if hears and not (named or manifest.jobs):
        yield "node_message is never called: the manifest lists no messages, commands or jobs"


def _annotations(bound: Bound, manifest: Manifest) -> Iterator[str]:
    """Arguments that are annotated with something else than they receive."""
    spec = _hints(getattr(hookspecs, bound.name))
    said = _hints(bound.function)
    for name in bound.argnames:
        if name not in said:
            continue
        passed = spec.get(name, Any)
        if name == "config":
            passed = manifest.config or type(None)
        if bound.name == "node_message" and _all_events(said[name]):
            continue  # narrower than the hook's `Event`: a plugin that lists one kind gets that one
        if not _takes(said[name], passed):
            yield f"{bound.name}: {name} is annotated {_word(said[name])}, but receives {_word(passed)}"


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Annotations as objects; those that cannot be resolved (TYPE_CHECKING) are left out."""
    function = inspect.unwrap(function)
    hints, _ = attempt(lambda: typing.get_type_hints(function))
    if hints is not None:
        return hints
    found: dict[str, Any] = {}
    for name, value in inspect.get_annotations(function).items():
        one = types.FunctionType(function.__code__, function.__globals__)
        one.__annotations__ = {name: value}
        resolved, _ = attempt(partial(typing.get_type_hints, one))
        found.update(resolved or {})
    return found


def _takes(said: Any, passed: Any) -> bool:
    """False where an argument of type `passed` is surely no `said`."""
    if Any in (said, passed) or object in (said, passed):
        return True
    options = typing.get_args(said) if _is_union(said) else (said,)
    if len(options) > 1:
        return any(_takes(option, passed) for option in options)
    said, passed = typing.get_origin(said) or said, typing.get_origin(passed) or passed
    if not isinstance(said, type) or not isinstance(passed, type):
        return True
    if getattr(said, "_is_protocol", False):
        # ours are never met by accident; a stranger's own protocol may well be
        return said is passed or said.__module__ != Manifest.__module__
    return issubclass(passed, said)


def _all_events(said: Any) -> bool:
    options = typing.get_args(said) if _is_union(said) else (said,)
    return all(isinstance(option, type) and issubclass(option, Event) for option in options)


def _is_union(said: Any) -> bool:
    return typing.get_origin(said) in (typing.Union, types.UnionType)


def _word(said: Any) -> str:
    if said is type(None):
        return "None (the manifest names no config)"
    return said.__name__ if isinstance(said, type) else str(said)
