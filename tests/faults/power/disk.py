"""A disk that has kept only what was synced, and what else it may have kept by chance.

The strictest disk that POSIX allows. A write is in the cache until its file is synced; a name that
was made, renamed or removed is in the cache until its folder is synced. At a power cut any part of
what is in the cache may be on the disk, in any order, torn at sectors of 512 bytes. After a sync that
failed the kernel holds what it could not write for clean: no later sync writes it, unless somebody
writes to the same page again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tests.faults.power.trace import Event

SECTOR, PAGE = 512, 4096


class Change(NamedTuple):
    """Bytes at an offset, or with `data` None a new size, in the cache only."""

    number: int
    offset: int
    data: bytes | None


class Inode:
    """A file's bytes without its name."""

    def __init__(self) -> None:
        self.durable = bytearray()
        self.live = bytearray()
        self.pending: list[Change] = []
        self.lost: set[int] = set()
        self.syncing = 0


class Folder(Inode):
    """A folder: what is in it says so by its own name."""


class Naming(NamedTuple):
    """A name that was made (or with `inode` None removed), in the cache only."""

    number: int
    names: dict[str, Inode | None]
    """With two names a rename, which a disk keeps whole or not at all."""


Pick = Callable[[Change], "bytes | None"]
Image = dict[str, bytes]


class Disk:
    """Plays events; `image` says what a power cut leaves."""

    def __init__(self, files: Image | None = None) -> None:
        self.numbers = 0
        self.epoch = 0
        """Changes whenever something became durable."""
        self.forgetful = False
        """Whether a sync has failed, so that the cache holds what no later sync will write."""
        self._live: dict[str, Inode] = {"": Folder()}
        self._namings: list[Naming] = []
        for path, data in (files or {}).items():
            self._live.setdefault(_parent(path), Folder())
            inode = self._live[path] = Inode()
            inode.durable, inode.live = bytearray(data), bytearray(data)
        self._durable = dict(self._live)

    def play(self, event: Event) -> None:
        """Let one event happen."""
        do = getattr(self, "_" + event.kind.replace("-", "_"), None)
        if do is not None:
            do(event)

    # -- what is in the cache ----------------------------------------------------------------

    def pending(self) -> list[Change]:
        """Every write in the cache, oldest first."""
        return sorted(
            (change for inode in self._inodes() for change in inode.pending),
            key=lambda change: change.number,
        )

    def namings(self) -> list[Naming]:
        """Every name in the cache, oldest first."""
        return self._namings

    def image(self, namings: Iterable[Naming], changes: dict[int, bytes | None]) -> Image:
        """The disk with these changes (number -> what of it) and names, and what was synced."""
        names: dict[str, Inode | None] = dict(self._durable)
        for naming in namings:
            names.update(naming.names)
        return {
            path: _applied(inode, changes)
            for path, inode in names.items()
            if isinstance(inode, Inode) and not isinstance(inode, Folder) and _is_there(path, names)
        }

    def live(self) -> Image:
        """What a process sees that runs on, and what a killed one leaves."""
        return {path: bytes(i.live) for path, i in self._live.items() if not isinstance(i, Folder)}

    def _inodes(self) -> list[Inode]:
        named = [i for naming in self._namings for i in naming.names.values() if i is not None]
        return list({id(i): i for i in [*self._durable.values(), *named]}.values())

    # -- events ------------------------------------------------------------------------------

    def _name(self, names: dict[str, Inode | None]) -> None:
        self.numbers += 1
        self._namings.append(Naming(self.numbers, names))
        for path, inode in names.items():
            if inode is None:
                self._live.pop(path, None)
            else:
                self._live[path] = inode

    def _create(self, event: Event) -> None:
        if event.path not in self._live:
            self._name({event.path: Inode()})

    def _mkdir(self, event: Event) -> None:
        self._name({event.path: Folder()})

    def _unlink(self, event: Event) -> None:
        if event.path in self._live:
            self._name({event.path: None})

    def _rename(self, event: Event) -> None:
        self._name({event.path: None, event.other: self._live[event.path]})

    def _write(self, event: Event) -> None:
        inode = self._live[event.path]
        start, end = event.offset, event.offset + len(event.data)
        _put(inode.live, start, event.data)
        lost = inode.lost & set(range(start // PAGE, (end - 1) // PAGE + 1))
        if lost:  # the whole page is dirty again, with what could not be written before
            inode.lost -= lost
            start = min(start, min(lost) * PAGE)
            end = max(end, min(len(inode.live), (max(lost) + 1) * PAGE))
        self.numbers += 1
        inode.pending.append(Change(self.numbers, start, bytes(inode.live[start:end])))

    def _append(self, event: Event) -> None:
        self._write(event._replace(offset=len(self._live[event.path].live)))

    def _truncate(self, event: Event) -> None:
        inode = self._live[event.path]
        if len(inode.live) == event.offset:
            return
        _resize(inode.live, event.offset)
        self.numbers += 1
        inode.pending.append(Change(self.numbers, event.offset, None))

    def _sync_begins(self, event: Event) -> None:
        self._live[event.path].syncing = self.numbers

    def _sync_ends(self, event: Event) -> None:
        inode = self._live[event.path]
        self.epoch += 1
        if isinstance(inode, Folder):
            self._sync_folder(event.path, inode.syncing)
            return
        for change in inode.pending:
            if change.number <= inode.syncing:
                _apply(inode.durable, change.offset, change.data)
        inode.pending = [c for c in inode.pending if c.number > inode.syncing]

    def _sync_fails(self, event: Event) -> None:
        inode = self._live[event.path]
        if isinstance(inode, Folder):
            return
        for change in inode.pending:
            if change.data:
                last = (change.offset + len(change.data) - 1) // PAGE
                inode.lost.update(range(change.offset // PAGE, last + 1))
        inode.pending = []
        self.forgetful = True

    def _sync_folder(self, folder: str, until: int) -> None:
        kept = []
        for naming in self._namings:
            inside = all(_parent(path) == folder for path in naming.names)
            if not inside or naming.number > until:
                kept.append(naming)
                continue
            for path, inode in naming.names.items():
                if inode is None:
                    self._durable.pop(path, None)
                else:
                    self._durable[path] = inode
        self._namings = kept


def torn(change: Change, dice: random.Random) -> bytes | None:
    """Some sectors of a write; the rest is NUL where the file was not so long, else as before."""
    return None if change.data is None else bytes(dice.getrandbits(1) for _ in _sectors(change))


def _sectors(change: Change) -> range:
    assert change.data is not None
    return range(change.offset // SECTOR, (change.offset + len(change.data) - 1) // SECTOR + 1)


def _applied(inode: Inode, changes: dict[int, bytes | None]) -> bytes:
    if not inode.pending:
        return bytes(inode.durable)
    data = bytearray(inode.durable)
    for change in inode.pending:
        if change.number not in changes:
            continue
        sectors = changes[change.number]
        if sectors is None or change.data is None:
            _apply(data, change.offset, change.data)
            continue
        for number, kept in zip(_sectors(change), sectors, strict=True):
            if kept:
                start = max(change.offset, number * SECTOR)
                part = change.data[start - change.offset : (number + 1) * SECTOR - change.offset]
                _put(data, start, part)
    return bytes(data)


def _apply(data: bytearray, offset: int, new: bytes | None) -> None:
    if new is None:
        _resize(data, offset)
    else:
        _put(data, offset, new)


def _put(data: bytearray, offset: int, new: bytes) -> None:
    if offset > len(data):
        _resize(data, offset)
    data[offset : offset + len(new)] = new


def _resize(data: bytearray, size: int) -> None:
    if size < len(data):
        del data[size:]
    else:
        data.extend(bytes(size - len(data)))


def _parent(path: str) -> str:
    return "" if "/" not in path else path.rpartition("/")[0]


def _is_there(path: str, names: dict[str, Inode | None]) -> bool:
    parent = _parent(path)
    return parent == "" or (names.get(parent) is not None and _is_there(parent, names))
