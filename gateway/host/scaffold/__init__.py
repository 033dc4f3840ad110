"""A new plugin's project, written from the templates in this folder.

Rules of this file. Nothing that is there is ever written over. What is written is a whole project: it
passes its own tests, and the gateway loads it as it is.
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Final

from gateway.errors import DataError
from gateway.host.admit import TAKEN
from gateway.protocol.topics import CHANNEL_KINDS, NODE_KINDS

LAYOUT: Final = {
    "README.md": "readme.txt",
    "pyproject.toml": "pyproject.txt",
    "@package@/__init__.py": "plugin.txt",
    "@package@/migrations/0001_@plugin@.sql": "migration.txt",
    "test_@plugin@.py": "tests.txt",
}
"""Each file of a project, and the template that it is made from."""

KINDS: Final = NODE_KINDS | CHANNEL_KINDS | TAKEN
_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
LONGEST: Final = 40


def write(name: str, folder: Path) -> list[Path]:
    """Write the project `name` into `folder`, which may not hold anything yet; the files.

    Raises DataError where the name or the folder will not do.
    """
    if not _NAME.fullmatch(name) or len(name) > LONGEST:
        raise DataError(
            f"{name!r} cannot be the name of a plugin",
            why=f"a name is a-z, 0-9 and - between them, at most {LONGEST} characters",
            hint="gateway plugins new door-sensor",
        )
    if name.replace("-", "_") in KINDS:
        raise DataError(
            f"{name!r} cannot be the name of a plugin",
            why="it is a kind of message of the protocol, and the template has one of its own name",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(
            f"{folder} is there already", why="nothing is written over", hint="name another folder"
        )
    files = {
        folder / filled(path, name): filled(template(source), name)
        for path, source in LAYOUT.items()
    }
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{folder} cannot be written", why=error.strerror or str(error)) from error
    return list(files)


def template(source: str) -> str:
    """The text of a template."""
    return resources.files(__name__).joinpath(source).read_text(encoding="utf-8")


def filled(text: str, name: str) -> str:
    """A template with the plugin's name in its places."""
    plugin = name.replace("-", "_")
    words = {
        "@project@": name.replace("_", "-"),
        "@plugin@": plugin,
        "@package@": f"gateway_{plugin}",
        "@Class@": "".join(word.capitalize() for word in plugin.split("_")),
        "@Title@": plugin.replace("_", " ").capitalize(),
    }
    return re.sub(r"@\w+@", lambda found: words[found[0]], text)
