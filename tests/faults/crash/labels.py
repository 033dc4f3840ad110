"""Every failpoint of the gateway, read from its code: nobody has to keep a list."""

from __future__ import annotations

import ast
from pathlib import Path

import gateway

PACKAGE = Path(gateway.__file__).parent


def labels() -> dict[str, str]:
    """Label -> file and line. Raises AssertionError for one that is no constant or stands twice."""
    found: dict[str, str] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "failpoint"):
                continue
            where = f"{path.relative_to(PACKAGE.parent)}:{node.lineno}"
            (label,) = node.args
            assert isinstance(label, ast.Constant), f"{where}: the label must be a constant"
            assert label.value not in found, f"{where}: {label.value} is at {found[label.value]}"
            found[str(label.value)] = where
    return found
