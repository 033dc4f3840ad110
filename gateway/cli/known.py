"""The commands that plugins added when `gateway --help` was asked last, so that help is quick.

Rules of this file. It remembers lines of help, never which commands there are: calling one always
asks the plugins. What is remembered counts only while nothing changed that could change it: the
folders of installed packages, the settings' files, the environment, the plugins' files. A cache that
cannot be read or written is no cache, and no error.
"""

from __future__ import annotations

import json
import os
import site
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

Line = tuple[str, str]
# these alone: other variables may hold secrets, and must not end up in a file
_VARIABLES = (
    "PYTHONPATH",
    "GATEWAY_CONFIG",
    "GATEWAY_LOAD_PLUGINS",
    "GATEWAY__PLUGINS__DIRS",
    "GATEWAY__PLUGINS__DISABLED",
)


def _file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base, "gateway", "commands.json")


def _changed(path: str | Path) -> int:
    """When it was changed last, 0 where it is not there."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def stamp(version: str, config: Path | None) -> list[list[str | int | None]]:
    """What the list of commands depends on, as far as that is known before anything is loaded."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    named = str(config or os.environ.get("GATEWAY_CONFIG", ""))
    files = [named] if named else ["gateway.toml", f"{home}/gateway/gateway.toml"]
    files += [] if named else ["/etc/gateway/gateway.toml"]
    seen: list[list[str | int | None]] = [[version, sys.version], [os.getcwd()]]
    for file in files:
        drop_ins = Path(file).parent / "gateway.d"
        seen.append([file, _changed(file), _changed(drop_ins)])
        seen += [[str(path), _changed(path)] for path in sorted(drop_ins.glob("*.toml"))]
    seen += [[name, os.environ.get(name)] for name in _VARIABLES]
    installed = [*site.getsitepackages(), site.getusersitepackages()]
    seen += [[path, _changed(path)] for path in installed]
    return seen


def recall(stamped: Sequence[object]) -> list[Line] | None:
    """The lines of the last time, None where something has changed since."""
    try:
        kept = json.loads(_file().read_bytes())
        good = kept["stamp"] == stamped
        good = good and all(_changed(path) == at for path, at in kept["watched"])
        return [(str(name), str(text)) for name, text in kept["lines"]] if good else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(stamped: Sequence[object], lines: Sequence[Line], watched: Iterable[str]) -> None:
    """Remember the lines; `watched` are files and folders that may change them."""
    kept = {
        "stamp": stamped,
        "lines": list(lines),
        "watched": [[path, _changed(path)] for path in sorted(set(watched))],
    }
    file = _file()
    fresh = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh.write_text(json.dumps(kept))
        fresh.replace(file)
    except OSError:
        return
