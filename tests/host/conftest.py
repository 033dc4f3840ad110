"""Plugins as they come: files in a folder, and distributions with real metadata."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from textwrap import dedent

import pytest

from gateway.host.registry import Registry, find

HEAD = """
from gateway import Command, Event, Job, Manifest, Message, NodeHello, NodeHeartbeat, Status
from gateway import Telemetry, Wake, hookimpl
"""
FIXTURES = Path(__file__).parents[1] / "fixtures" / "plugins"


class Shelf:
    """A folder for `[plugins] dirs`, and what may be installed beside it."""

    def __init__(self, root: Path) -> None:
        self.dirs = root / "plugins"
        self.site = root / "site"
        self.dirs.mkdir()
        self.site.mkdir()

    def drop(self, name: str, text: str) -> Path:
        """Put a plugin's file into the folder."""
        path = self.dirs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEAD + dedent(text))
        return path

    def install(self, dist: str, name: str, text: str, *, module: str = "") -> None:
        """Install a distribution (`acme 1.0`) with one entry point of the group `gateway`."""
        project, version = dist.split()
        # installed modules stay imported, so each test has names of its own
        module = module or f"{project}_{name}_{self.site.parent.name}"
        (self.site / f"{module}.py").write_text(HEAD + dedent(text))
        info = self.site / f"{project.replace('-', '_')}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n"
        )
        with (info / "entry_points.txt").open("a") as points:
            points.write(f"[gateway]\n{name} = {module}\n")

    def entry_points(self) -> list[EntryPoint]:
        """What is installed here, and nothing of the machine that runs the test."""
        return [
            point
            for dist in distributions(path=[str(self.site)])
            for point in dist.entry_points
            if point.group == "gateway"
        ]

    def load(self, *, disabled: tuple[str, ...] = (), only: str | None = None) -> Registry:
        """A registry of all of it; settings of plugins are not decoded."""
        environ = {} if only is None else {"GATEWAY_LOAD_PLUGINS": only}
        loader = find([str(self.dirs)], disabled, entry_points=self.entry_points(), environ=environ)
        registry = Registry(loader.plugins.values())
        registry.warnings = loader.warnings()
        return registry


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """An empty shelf."""
    made = Shelf(tmp_path)
    monkeypatch.syspath_prepend(str(made.site))
    return made


@pytest.fixture
def error_of(shelf: Shelf) -> Callable[[str], str]:
    """Load one file as the plugin `odd`, which must fail, and return what is said about it."""

    def load(text: str) -> str:
        shelf.drop("odd.py", text)
        plugin = shelf.load().plugins["odd"]
        assert plugin.state == "failed"
        return plugin.error

    return load
