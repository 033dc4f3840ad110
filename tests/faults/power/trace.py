"""The system calls of a process and what it said between them, recorded by strace.

Only what touches the root folder counts. A call that another thread's overlaps is cut in two by
strace; a sync therefore begins and ends, because it covers what was written before it began and
promises it when it has ended.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

CALLS = "openat,write,pwrite64,fsync,fdatasync,ftruncate,unlink,unlinkat,rename,renameat2,mkdir"
_LINE = re.compile(r"(\d+) +(\w+)\((.*)")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_RESULT = re.compile(r"\) += (-?\d+)(.*)$")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_HANDLE = re.compile(r"\d+<((?:\\x[0-9a-f]{2})*)>(\(deleted\))?")


class Event(NamedTuple):
    """One thing that happened; `path` is relative to the root, "" for the root itself."""

    kind: str
    """said | create | truncate | write | append | sync-begins | sync-ends | sync-fails | unlink | rename |
    mkdir | failed (a call that was made to fail; `path` is its name)"""
    path: str
    offset: int = 0
    data: bytes = b""
    other: str = ""
    injected: bool = False


def record(
    words: Sequence[str], root: Path, *, inject: str = "", paths: Sequence[Path] = ()
) -> list[Event]:
    """Run Python with these words under strace; what it did below `root`, in order.

    `inject` is strace's own expression for calls that fail; with `paths` only calls on these
    are recorded, and may fail. Raises RuntimeError where the process did not end well.
    """
    log, said = (root.with_name(root.name + ending) for ending in (".trace", ".said"))
    command = ["strace", "-f", "-y", "-xx", "-s", "1000000", "-o", str(log)]
    command += ["-e", f"trace={CALLS}"]
    command += [part for path in paths and (*paths, said) for part in ("-P", str(path))]
    command += ["-e", f"inject={inject}"] if inject else ["--seccomp-bpf"]
    with said.open("wb") as stdout:
        done = subprocess.run(
            [*command, sys.executable, *words],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=100,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"{words} ended with {done.returncode}: {done.stderr}")
    return list(_Parser(root).read(log))


class _Parser:
    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._begun: dict[tuple[str, str], str] = {}

    def read(self, log: Path) -> Iterator[Event]:
        with log.open() as lines:
            for line in lines:
                yield from self._line(line.rstrip("\n"))

    def _line(self, line: str) -> Iterator[Event]:
        found = _RESUMED.match(line)
        if found:
            thread, name, rest = found.groups()
            yield from self._ended(name, self._begun.pop((thread, name), "") + rest)
            return
        found = _LINE.match(line)
        if not found:
            return
        thread, name, rest = found.groups()
        yield from self._began(name, rest)
        if rest.endswith("<unfinished ...>"):
            self._begun[thread, name] = rest.removesuffix("<unfinished ...>")
        else:
            yield from self._ended(name, rest)

    def _began(self, name: str, rest: str) -> Iterator[Event]:
        """What counts from its beginning: words, and what a sync covers."""
        if name == "write" and rest.startswith("1<"):
            yield Event("said", "", data=_bytes(rest).strip())
        elif name.endswith("sync"):
            path = self._file(rest)
            if path is not None:
                yield Event("sync-begins", path)

    def _ended(self, name: str, rest: str) -> Iterator[Event]:
        """What counts when it has ended."""
        result = _RESULT.search(rest)
        good = result is not None and not result[1].startswith("-")
        injected = rest.endswith("(INJECTED)")
        if name.endswith("sync"):
            path = self._file(rest)
            if path is not None:
                yield Event("sync-ends" if good else "sync-fails", path, injected=injected)
        elif injected and not good:
            yield Event("failed", name, injected=True)
        elif good and name in ("pwrite64", "write", "ftruncate"):
            yield from self._on_file(name, rest)
        elif good:
            yield from self._on_name(name, rest)

    def _on_name(self, name: str, rest: str) -> Iterator[Event]:
        paths = [self._relative(text) for text in _STRING.findall(rest)]
        if not paths or paths[0] is None:
            return
        path, other = paths[0], paths[-1] or ""
        if name == "openat":
            if "O_CREAT" in rest:
                yield Event("create", path)
            if "O_TRUNC" in rest:
                yield Event("truncate", path)
        elif name.startswith(("unlink", "rename", "mkdir")):
            yield Event(re.sub("at2?$", "", name), path, other=other)

    def _on_file(self, name: str, rest: str) -> Iterator[Event]:
        path = self._file(rest)
        if path is None:
            return
        if name == "ftruncate":
            yield Event("truncate", path, int(re.split("[,)]", rest)[1]))
        elif name == "write":
            yield Event("append", path, data=_bytes(rest))
        else:
            yield Event(
                "write",
                path,
                int(rest[rest.rindex('"') :].split(",")[2].split(")")[0]),
                _bytes(rest),
            )

    def _file(self, rest: str) -> str | None:
        """The path behind a file handle; None where it is not ours."""
        handle = _HANDLE.match(rest)
        if handle is None or handle[2]:
            return None
        return self._relative(handle[1])

    def _relative(self, text: str) -> str | None:
        path = os.fsdecode(bytes.fromhex(text.replace("\\x", "")))
        if path == self._root:
            return ""
        if path.endswith("-shm"):
            return None  # made anew by the first connection after a crash
        return path[len(self._root) + 1 :] if path.startswith(self._root + "/") else None


def _bytes(rest: str) -> bytes:
    found = _STRING.search(rest)
    return bytes.fromhex(found[1].replace("\\x", "")) if found else b""
