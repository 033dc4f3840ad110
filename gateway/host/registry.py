"""All plugins of one gateway: who is ready, who wants which hook and which kind.

Rules of this file. A registry belongs to one gateway and there may be several in a process, so
nothing is kept in the module. `Registry.load` never raises for a plugin's sake: what cannot be used
stays in `plugins` with the reason.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from functools import partial
from importlib import metadata
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from gateway.errors import SettingsError
from gateway.host.admit import HOOK_EVENTS, load
from gateway.host.contract import Hooks, did_you_mean
from gateway.host.discover import GROUP, Candidate, attempt, candidates
from gateway.host.plugin import Bound, Plugin
from gateway.protocol.messages import Event

if TYPE_CHECKING:
    from gateway.settings.model import Settings

__all__ = ["Bound", "Plugin", "Registry", "Targets"]

log = logging.getLogger(__name__)
ONLY = "GATEWAY_LOAD_PLUGINS"
Targets: TypeAlias = tuple[tuple[Plugin, Bound], ...]


class Registry:
    """The plugins of one gateway, by name; ours first, then in the order in which they are found.

    `problems` are the mistakes in `[plugins.<name>]` sections (`settings.explain.Problem`), and
    `warnings` sentences about names that belong to no plugin.
    """

    def __init__(self, plugins: Iterable[Plugin] = ()) -> None:
        self.plugins: dict[str, Plugin] = {plugin.name: plugin for plugin in plugins}
        self.problems: list[object] = []
        self.warnings: list[str] = []
        self._targets: dict[tuple[str, str | None], Targets] = {}
        for plugin in self.ready():
            self._refuse_clash(plugin)

    @classmethod
    def load(
        cls,
        settings: Settings,
        *,
        entry_points: Iterable[EntryPoint] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Registry:
        """Find, import and check every plugin, and decode its settings.

        `entry_points` replaces the installed ones, `environ` the environment.
        """
        loader = find(
            settings.plugins.dirs,
            settings.plugins.disabled,
            entry_points=entry_points,
            environ=environ,
        )
        problems = _configure(settings, loader.plugins.values())
        registry = cls(loader.plugins.values())
        registry.problems = problems
        registry.warnings = loader.warnings() + loader.unread(settings.plugins.sections)
        for warning in registry.warnings:
            log.warning("%s", warning)
        return registry

    def ready(self) -> list[Plugin]:
        """The plugins in service."""
        return [plugin for plugin in self.plugins.values() if plugin.state == "ready"]

    def disable(self, name: str, error: str) -> None:
        """Take a plugin out of service while the gateway runs on."""
        self.plugins[name].fail(error)
        self._targets.clear()

    def targets(self, hook: str, kind: str | None = None) -> Targets:
        """Who is called for a hook; for `node_message` only who lists the kind."""
        found = self._targets.get((hook, kind))
        if found is None:
            found = self._targets[hook, kind] = self._find(hook, kind)
        return found

    def _find(self, hook: str, kind: str | None) -> Targets:
        wanted = [
            (plugin, plugin.hooks[hook])
            for plugin in self.ready()
            if hook in plugin.hooks
            and (hook != "node_message" or kind in plugin.messages or kind in plugin.commands)
        ]
        return tuple(sorted(wanted, key=lambda pair: pair[1].rank))

    def message_types(self) -> dict[str, type[Event]]:
        """The type of every kind of message that somebody wants."""
        types = {cls.kind: cls for hook, cls in HOOK_EVENTS.items() if self.targets(hook)}
        for plugin in self.ready():
            types.update(plugin.messages)
        return types

    def command_types(self) -> dict[str, type[Event]]:
        """The type of every command that some plugin answers."""
        types: dict[str, type[Event]] = {}
        for plugin in self.ready():
            types.update(plugin.commands)
        return types

    def _refuse_clash(self, plugin: Plugin) -> None:
        """Of two plugins that give a kind two meanings, the later one stays out."""
        for other in self.ready():
            if other is plugin:
                return
            for theirs, ours in (
                (other.messages, plugin.messages),
                (other.commands, plugin.commands),
            ):
                for kind in theirs.keys() & ours.keys():
                    if theirs[kind] is not ours[kind]:
                        plugin.fail(
                            f"{plugin.name} and {other.name} both have a type for the kind "
                            f"{kind!r}; one of them must use the other's, or another kind"
                        )
                        return


def find(
    dirs: Iterable[str] = (),
    disabled: Iterable[str] = (),
    *,
    entry_points: Iterable[EntryPoint] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Loader:
    """Find, import and check every plugin, without a look at its settings."""
    loader = Loader(disabled, os.environ if environ is None else environ)
    found = metadata.entry_points(group=GROUP) if entry_points is None else entry_points
    for candidate in candidates(found, [Path(folder).expanduser() for folder in dirs]):
        loader.take(candidate)
    return loader


class Loader:
    """Loads candidates one after the other; a name that is taken is the later one's failure."""

    def __init__(self, disabled: Iterable[str], environ: Mapping[str, str]) -> None:
        self.plugins: dict[str, Plugin] = {}
        self._hooks = Hooks()
        self._disabled = frozenset(disabled)
        only = environ.get(ONLY)
        self._only = (
            None if only is None else frozenset(w.strip() for w in only.split(",") if w.strip())
        )

    def take(self, candidate: Candidate) -> None:
        """Load one, unless it is switched off or its name is taken."""
        name = candidate.name
        first = self.plugins.get(name)
        if first is not None:
            name = f"{name} of {candidate.origin}"
        plugin = Plugin(name, candidate.origin, version=candidate.version)
        if candidate.name in self._disabled:
            plugin.fail("switched off by [plugins] disabled", "disabled")
        elif self._only is not None and candidate.name not in self._only:
            plugin.fail(f"not named in {ONLY}", "disabled")
        elif first is not None:
            plugin.fail(
                f"two plugins are called {first.name!r}: {first.origin} and {candidate.origin}; "
                "uninstall one of them"
            )
        else:
            plugin = load(candidate, self._hooks)
        self.plugins[name] = plugin

    def unread(self, sections: Iterable[str]) -> list[str]:
        """Sections of the settings that no plugin reads."""
        found = self._unknown(sections, "there is no plugin for [plugins.{}]")
        for name in sorted(set(sections) & set(self.plugins)):
            plugin = self.plugins[name]
            if plugin.state == "ready" and plugin.manifest.config is None:
                found.append(f"[plugins.{name}] is not read: the plugin has no settings")
        return found

    def warnings(self) -> list[str]:
        """Names in the settings and the environment that fit no plugin."""
        return [
            *self._unknown(self._disabled, "[plugins] disabled: there is no plugin {!r}"),
            *self._unknown(self._only or (), ONLY + ": there is no plugin {!r}"),
        ]

    def _unknown(self, words: Iterable[str], sentence: str) -> list[str]:
        strange = sorted(set(words) - set(self.plugins))
        return [sentence.format(word) + did_you_mean(word, self.plugins) for word in strange]


def _configure(settings: Settings, plugins: Iterable[Plugin]) -> list[object]:
    """Decode each plugin's section; a wrong one switches off its plugin and nothing else."""
    # the command line needs plugins without it, and is quicker so
    from gateway.settings.load import decode_plugin_section

    problems: list[object] = []
    for plugin in plugins:
        struct = plugin.manifest.config
        if plugin.state != "ready" or struct is None:
            continue
        try:
            plugin.config, error = attempt(
                partial(decode_plugin_section, settings, plugin.name, struct), but=SettingsError
            )
        except SettingsError as wrong:
            problems += wrong.problems
            error = "; ".join(map(str, wrong.problems)) or wrong.what
        if error:
            plugin.fail(error)
    return problems
