"""Where plugins come from: entry points of the group `gateway`, and the folders of `[plugins] dirs`.

Rules of this file. Finding imports nothing; importing happens in `Candidate.load`, through
`attempt`, so that whatever a stranger's module raises (`SystemExit` included) is a report and never
the end of the gateway. `sys.path` is never touched: a neighbour file must not shadow a library.
"""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple, TypeVar

GROUP = "gateway"
BUNDLED = "bundled"
DISTRIBUTION = "hellogate"
LOCAL = "gateway_local"

T = TypeVar("T")


class Candidate(NamedTuple):
    """Something that may be a plugin; `error` says why it is not even tried."""

    name: str
    origin: str
    version: str
    group: str
    load: Callable[[], object]
    error: str = ""


def attempt(
    call: Callable[[], T], but: type[BaseException] = KeyboardInterrupt
) -> tuple[T | None, str]:
    """What `call` returns, or in words what it raised; `but` and Ctrl+C are for the caller."""
    try:
        return call(), ""
    except (KeyboardInterrupt, but):
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin's failure is its own
        text = " ".join(str(error).split())
        return None, f"{type(error).__name__}: {text}" if text else type(error).__name__


def candidates(found: Iterable[EntryPoint], folders: Iterable[Path]) -> Iterator[Candidate]:
    """Everything that may be a plugin: ours, then installed ones by name, then the folders'."""
    points = [_from_entry_point(point) for point in found]
    yield from sorted(points, key=lambda one: (one.group != BUNDLED, one.name, one.origin))
    for folder in folders:
        yield from _from_folder(folder)


def from_file(path: Path) -> Candidate:
    """The plugin in a file, or in a package (a folder with `__init__.py`)."""
    stem = path.stem if path.suffix == ".py" else path.name
    # the name that it would have as an installed project, so that its tables keep their names
    name = stem.removeprefix("gateway_")
    error = f"everybody may write it; next: chmod o-w {path}" if _is_open(path) else ""
    return Candidate(name, f"file {path}", "", name, lambda: _import(stem, path), error)


def _from_entry_point(point: EntryPoint) -> Candidate:
    dist, version = (point.dist.name, point.dist.version) if point.dist else ("", "")
    if dist.lower() == DISTRIBUTION:
        return Candidate(point.name, BUNDLED, version, BUNDLED, point.load)
    origin = f"entry point {dist or point.value} {version}".rstrip()
    return Candidate(point.name, origin, version, point.name, point.load)


def _from_folder(folder: Path) -> Iterator[Candidate]:
    """A folder that cannot be used is reported under its own path."""
    error = ""
    found: list[Path] | None = None
    if not folder.is_dir():
        error = "[plugins] dirs names it, but there is no such folder"
    elif _is_open(folder):
        error = f"everybody may write into it, so nothing in it is loaded; next: chmod o-w {folder}"
    else:
        found, error = attempt(lambda: sorted(folder.iterdir()))
    if error:
        name = str(folder)
        yield Candidate(name, f"file {folder}", "", name, lambda: None, error)
    for path in found or ():
        if may_be_plugin(path):
            yield from_file(path)


def may_be_plugin(path: Path) -> bool:
    """True for a module or package whose name is not that of something else (tests, hidden)."""
    if path.name.startswith(("_", ".", "test_", "conftest")):
        return False
    return path.suffix == ".py" or (path / "__init__.py").is_file()


def _is_open(path: Path) -> bool:
    return path.exists() and bool(path.stat().st_mode & stat.S_IWOTH)


def _import(stem: str, path: Path) -> object:
    name = f"{LOCAL}.{stem}"
    if path.suffix == ".py":
        spec = spec_from_file_location(name, path)
    else:
        start = path / "__init__.py"
        spec = spec_from_file_location(name, start, submodule_search_locations=[str(path)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python module")
    return _execute(spec)


def _execute(spec: ModuleSpec) -> object:
    assert spec.loader is not None
    module = module_from_spec(spec)
    # types resolve their annotations through here, and packages their relative imports
    _forget(spec.name)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        _forget(spec.name)
        raise
    return module


def _forget(name: str) -> None:
    for loaded in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
        del sys.modules[loaded]
