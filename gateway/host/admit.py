"""From a candidate to a plugin: import it, bind its hooks, read its manifest, decode its settings.

Rules of this file. Each step may find that the plugin cannot be used, which is a sentence in
`Plugin.error`; no step raises, and none can harm another plugin or the gateway.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gateway.api import API_VERSION, Job, Manifest
from gateway.host.contract import Hooks
from gateway.host.discover import Candidate, attempt
from gateway.host.plugin import Plugin
from gateway.protocol.messages import (
    Command,
    ConfigReported,
    Event,
    Message,
    NodeHeartbeat,
    NodeHello,
    RawEvent,
    Wake,
)

HOOK_EVENTS: Mapping[str, type[Event]] = {
    "node_hello": NodeHello,
    "node_heartbeat": NodeHeartbeat,
    "config_reported": ConfigReported,
}
"""The kinds that have a hook of their own."""

_OUTBOUND = ("hello_ack", "config", "command", "time_response", "change")
TAKEN = frozenset({*_OUTBOUND, RawEvent.kind, Wake.kind})
"""Kinds that a plugin's message cannot have."""

_MESSAGE_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}")
_COMMAND_KIND = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)+")
_CLAUSE = re.compile(r"(>=|<=|==|!=|>|<)\s*(\d+)(?:\.(\d+))?")
_HOLDS: Mapping[str, Callable[[tuple[int, int], tuple[int, int]], bool]] = {
    ">=": lambda ours, other: ours >= other,
    "<=": lambda ours, other: ours <= other,
    "==": lambda ours, other: ours == other,
    "!=": lambda ours, other: ours != other,
    ">": lambda ours, other: ours > other,
    "<": lambda ours, other: ours < other,
}


def load(candidate: Candidate, hooks: Hooks) -> Plugin:
    """Import a candidate and bind its hooks."""
    plugin, _module = load_with_module(candidate, hooks)
    return plugin


def load_with_module(candidate: Candidate, hooks: Hooks) -> tuple[Plugin, object | None]:
    """The same, with what was imported."""
    plugin = Plugin(
        candidate.name, candidate.origin, version=candidate.version, group=candidate.group
    )
    if candidate.error:
        plugin.fail(candidate.error)
        return plugin, None
    module, error = attempt(candidate.load)
    if module is None:
        plugin.fail(f"its import failed: {error}" if error else "it loads as None")
        return plugin, None
    faults, error = attempt(lambda: hooks.faults(module))
    if faults or error:
        plugin.fail(error or "; ".join(faults or ()))
        return plugin, module
    bound, error = attempt(lambda: hooks.bind(module, plugin.name))
    if bound is None:
        plugin.fail(error)
    else:
        plugin.hooks = bound
        _declare(plugin, module)
    return plugin, module


def _declare(plugin: Plugin, module: object) -> None:
    """Take over what the plugin's manifest says."""
    hook = plugin.hooks.get("manifest")
    manifest: object = None
    if hook is not None:
        manifest, error = attempt(hook.ask)
        if error:
            plugin.fail(f"its manifest failed: {error}")
            return
    manifest = Manifest() if manifest is None else manifest
    if not isinstance(manifest, Manifest):
        plugin.fail(f"its manifest is no Manifest but {manifest!r:.80}")
        return
    faults, error = attempt(lambda: _manifest_faults(manifest))
    if faults or error:
        plugin.fail(f"its manifest is wrong: {error or '; '.join(faults or ())}")
        return
    plugin.manifest = manifest
    plugin.version = manifest.version if manifest.version != "0" else plugin.version or "0"
    plugin.messages = {cls.kind: cls for cls in manifest.messages}
    plugin.commands = {cls.kind: cls for cls in manifest.commands}
    if manifest.migrations:
        _find_migrations(plugin, module)


def _find_migrations(plugin: Plugin, module: object) -> None:
    name = getattr(module, "__name__", type(module).__module__)
    file = getattr(module, "__file__", None) or inspect.getsourcefile(type(module))
    folder = Path(file or ".").parent / plugin.manifest.migrations
    if folder.is_dir():
        plugin.migrations = folder
    else:
        plugin.fail(f"its migrations folder {folder} does not exist (beside the module {name})")


def _manifest_faults(manifest: Manifest) -> list[str]:
    for field in ("version", "requires_api", "migrations"):
        if not isinstance(getattr(manifest, field), str):
            return [f"{field} must be a text, not {getattr(manifest, field)!r:.80}"]
    faults = [api_fault(manifest.requires_api)]
    for field in ("messages", "commands", "jobs"):
        value = getattr(manifest, field)
        if not isinstance(value, tuple | list):
            return [f"{field} must be a tuple, like ({getattr(value, '__name__', value)},)"]
    faults += [_message_fault(cls) for cls in manifest.messages]
    faults += [_command_fault(cls) for cls in manifest.commands]
    faults += [_job_fault(job) for job in manifest.jobs]
    kinds = [cls.kind for cls in (*manifest.messages, *manifest.commands) if _is(cls, Event)]
    names = [job.name for job in manifest.jobs if isinstance(job, Job)]
    faults += [f"{name} is listed twice" for name in sorted(_twice(kinds) | _twice(names))]
    if manifest.config is not None and not _is(manifest.config, msgspec.Struct):
        faults.append(f"config must be a msgspec.Struct type, not {manifest.config!r:.80}")
    return [fault for fault in faults if fault]


def api_fault(wanted: str) -> str:
    """What is wrong with a range of API versions like `>=1.0,<2`; "" where ours is in it."""
    ours = ".".join(map(str, API_VERSION))
    for clause in wanted.split(","):
        match = _CLAUSE.fullmatch(clause.strip())
        if match is None:
            return f"requires_api {wanted!r} cannot be read; write it like '>=1.0,<2'"
        sign, major, minor = match.groups()
        if not _HOLDS[sign](API_VERSION, (int(major), int(minor or 0))):
            return f"it needs the plugin API {wanted}, this gateway has {ours}"
    return ""


def _message_fault(cls: Any) -> str:
    if not _is(cls, Event):
        return f"messages lists {cls!r:.80}, which is no Message"
    for hook, own in HOOK_EVENTS.items():
        if issubclass(cls, own) or cls.kind == own.kind:
            return f"{cls.__name__} arrives in the hook {hook}; take it out of messages"
    if not issubclass(cls, Message):
        return f"{cls.__name__} must be a subclass of gateway.Message"
    if cls.kind in TAKEN or not _MESSAGE_KIND.fullmatch(cls.kind):
        return f"{cls.__name__} has the kind {cls.kind!r}, which is " + (
            "the gateway's own" if cls.kind in TAKEN else "no word of a-z, 0-9 and _"
        )
    return ""


def _command_fault(cls: Any) -> str:
    if not _is(cls, Command):
        return f"commands lists {cls!r:.80}, which is no subclass of gateway.Command"
    if not _COMMAND_KIND.fullmatch(cls.kind):
        return f"{cls.__name__} has the kind {cls.kind!r}; write it like 'door.unlock'"
    return ""


def _job_fault(job: Any) -> str:
    if not isinstance(job, Job):
        return f"jobs lists {job!r:.80}, which is no Job"
    return "" if job.every > 0 else f"job {job.name}: every must be more than 0 seconds"


def _is(value: Any, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base)


def _twice(words: Iterable[str]) -> set[str]:
    return {word for word, times in Counter(words).items() if times > 1}
