"""A board's flash on the table: littlefs on a chip that loses its power in the middle of an operation.

A cut falls after so many *units*: a byte of a program is one, an erase is two (before it, and half of
it). The chip stays dead until somebody takes its `image` to a new one, as a reset does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

import littlefs
from littlefs import lfs

_EIO = -5
_FLAGS = {"rb": 1, "wb": 2 | 0x100 | 0x400}  # read only; write only, create, truncate
_ERRNO = {-2: 2, -28: 28}
BLOCK = 4096


class Geometry(NamedTuple):
    """What MicroPython tells littlefs on a board."""

    name: str
    prog: int
    cache: int
    blocks: int = 24
    cycles: int = 100


ESP32 = Geometry("ESP32", 32, 128)
PICO = Geometry("Pico W", 256, 1024)


class Cut(BaseException):
    """The power is gone: nobody catches that."""


class Chip(littlefs.UserContext):  # type: ignore[misc]  # the wheel has no types for it
    """NOR flash in memory."""

    def __init__(self, image: bytes, left: int | None = None) -> None:
        super().__init__(buffer=bytearray(image))
        self.left = left
        self.dead = False
        self.units = 0
        self.starts: list[int] = []  # the unit at which each operation begins
        self.erases: dict[int, int] = {}
        self.bad_reads: set[int] = set()  # blocks that cannot be read
        self.bad_writes: set[int] = set()  # blocks that keep what they have

    def _spend(self, units: int) -> int:
        """How much of the operation still happens."""
        self.starts.append(self.units)
        self.units += units
        if self.left is None or self.left >= self.units:
            return units
        self.dead = True
        return units - (self.units - self.left)

    def read(self, cfg: Any, block: int, off: int, size: int) -> Any:
        # the wheel takes no error from here: what cannot be read is rubbish
        return b"\x5a" * size if block in self.bad_reads else super().read(cfg, block, off, size)

    def prog(self, _cfg: Any, block: int, off: int, data: bytes) -> int:
        if self.dead:
            return _EIO
        done = self._spend(len(data))
        if block not in self.bad_writes:
            start = block * BLOCK + off
            self.buffer[start : start + done] = data[:done]
        return _EIO if self.dead else 0

    def erase(self, _cfg: Any, block: int) -> int:
        if self.dead:
            return _EIO
        done = self._spend(2)
        if block not in self.bad_writes:
            start = block * BLOCK
            self.buffer[start : start + done * BLOCK // 2] = b"\xff" * (done * BLOCK // 2)
        self.erases[block] = self.erases.get(block, 0) + 1
        return _EIO if self.dead else 0


class _File:
    """As much of a file as flash.py uses."""

    def __init__(self, chip: Chip, fs: Any, path: str, mode: str) -> None:
        self._chip, self._fs = chip, fs
        self._file = self._call(lfs.file_open, path.lstrip("/"), _FLAGS[mode])

    def _call(self, what: Any, *arguments: Any) -> Any:
        try:
            return what(self._fs, *arguments)
        except littlefs.LittleFSError as error:
            if self._chip.dead:
                raise Cut from None
            raise OSError(_ERRNO.get(error.code, 5), str(error)) from None

    def read(self, size: int) -> bytes:
        return bytes(self._call(lfs.file_read, self._file, size))

    def write(self, data: bytes) -> None:
        self._call(lfs.file_write, self._file, bytes(data))

    def flush(self) -> None:
        self._call(lfs.file_sync, self._file)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._chip.dead:
            self._call(lfs.file_close, self._file)


def _config(chip: Chip, geometry: Geometry) -> Any:
    return lfs.LFSConfig(
        context=chip,
        read_size=32,
        prog_size=geometry.prog,
        block_size=BLOCK,
        block_count=geometry.blocks,
        block_cycles=geometry.cycles,
        cache_size=geometry.cache,
        lookahead_size=32,
    )


def blank(geometry: Geometry) -> bytes:
    """A chip that was just formatted."""
    chip = Chip(b"\xff" * BLOCK * geometry.blocks)
    made = _config(chip, geometry)
    lfs.format(lfs.LFSFilesystem(), made)
    return bytes(chip.buffer)


@contextmanager
def mounted(chip: Chip, geometry: Geometry, flash: Any) -> Iterator[Any]:
    """The device's flash.py works on this chip, and syncs as it would on a board: by its flush(). Yields
    the file system."""
    fs = lfs.LFSFilesystem()
    made = _config(chip, geometry)  # littlefs keeps no reference of its own
    lfs.mount(fs, made)
    before = flash.os
    flash.open = lambda path, mode: _File(chip, fs, path, mode)
    flash.os = SimpleNamespace()
    try:
        yield fs
    finally:
        del flash.open
        flash.os = before
        del made
