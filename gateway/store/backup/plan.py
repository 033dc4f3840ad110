"""What goes into a backup: which files, with which text, and what has to be left out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.settings.sources import sources, without_secrets
from gateway.store.backup.redact import LEFT_OUT

DATABASE = "gateway.db"


@dataclass(frozen=True)
class Plan:
    """The state folder, files outside of it, and whether secrets go in."""

    state_dir: Path
    kind: str = "manual"
    files: Sequence[Path] = ()
    secrets: bool = True
    left_out: Sequence[str] = ()
    texts: Mapping[Path, str] = field(default_factory=dict)
    """Files that go in with another text than theirs, because theirs has secrets."""


def plan(
    state_dir: Path,
    settings_files: Sequence[Path],
    *,
    kind: str = "manual",
    secrets: bool = True,
    environ: Mapping[str, str] = os.environ,
) -> Plan:
    """Everything that another machine would need: settings, and the files that they name."""
    files = [file for file in settings_files if file.is_file()]
    found = sources(files, environ)
    named = [file for file in found.files if file.is_file()]
    if secrets:
        return Plan(state_dir, kind, [*files, *named], left_out=found.elsewhere)
    texts = {file: without_secrets(file.read_text("utf-8")) for file in files}
    left_out = ["secrets of nodes and of the settings", LEFT_OUT, *map(str, named)]
    left_out += [
        f"{file}, whose secrets cannot be told apart" for file, t in texts.items() if not t
    ]
    clear = {file: text for file, text in texts.items() if text}
    return Plan(state_dir, kind, list(clear), False, left_out + found.elsewhere, clear)
