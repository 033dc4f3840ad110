"""Real nodes as processes: killed as by a power cut, and started again with what is in their flash."""

from __future__ import annotations

import subprocess
from pathlib import Path

from gateway.cli.fleet import Broker, make_folders, start_line
from gateway.cli.parts import find_parts


class Board:
    """One node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hardware_id = folder.name
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Power on."""
        words, env = start_line(find_parts(), self.folder.resolve())
        with (self.folder / "node.log").open("ab") as log:
            self._process = subprocess.Popen(
                words, env=env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """Power off, in the middle of anything."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def last_words(self) -> str:
        """The end of its log."""
        return (self.folder / "node.log").read_text(errors="replace")[-1500:]


def make_boards(where: Path, number: int, port: int, root: str) -> list[Board]:
    """So many boards for a broker, not started yet."""
    return [
        Board(folder)
        for folder in make_folders(where, number, Broker("127.0.0.1", port, root=root))
    ]
