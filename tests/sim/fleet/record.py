"""What the desk knows of one node."""

from __future__ import annotations

from gateway_config.twin import Twin
from gateway_heartbeat.liveness import Pulse

from tests.sim.board import Board


class Record:
    """Its rows in the registry, and the board that it is of."""

    __slots__ = (
        "board", "boot_id", "pulse", "secret", "spoke_at", "text", "trial_secret", "twin", "uid",
        "watched",
    )  # fmt: skip

    def __init__(self, board: Board) -> None:
        self.board = board
        self.uid = ""
        self.boot_id = ""
        """Of the last hello that was believed, which may have been backlog."""
        self.pulse = Pulse()
        self.twin = Twin()
        self.text = ""
        self.secret: str | None = None
        self.trial_secret: str | None = None
        self.watched = False
        self.spoke_at = 0.0
        """Observed time of the last live word that was taken as a proof."""
