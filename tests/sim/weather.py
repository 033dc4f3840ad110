"""Which fault comes when: each kind by chance, at its own rate, until the storm is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.sim.world import World

RATES = {
    "kill": 2.0,
    "stop": 0.3,
    "board_reset": 0.5,
    "board_away": 0.2,
    "board_cut": 0.5,
    "link_cut": 0.5,
    "link_reset": 0.5,
    "broker_restart": 0.3,
    "broker_forgets": 0.2,
    "clock_jump": 0.2,
    "disk_trouble": 0.3,
    "flash_full": 0.2,
    "slow_network": 0.3,
    "push": 1.0,
}
"""Times an hour: for a board's faults and pushes each board's, else the world's."""
_EACH = ("board_reset", "board_away", "board_cut", "flash_full", "push")


class Weather:
    """Plans one fault after the other."""

    def __init__(self, world: World, scale: float) -> None:
        self._world = world
        self._scale = scale
        self.storm = True
        self.counts: dict[str, int] = {}

    def begin(self) -> None:
        """Every kind gets its first moment."""
        for kind in RATES:
            self._plan(kind)

    def _plan(self, kind: str) -> None:
        world = self._world
        rate = RATES[kind] * self._scale * (len(world.boards) if kind in _EACH else 1)
        wait = world.chance.expovariate(rate / 3600)
        world.broker.later_by(wait, self._strike, kind)

    def _strike(self, kind: str) -> None:
        if not self.storm:
            return
        self.counts[kind] = self.counts.get(kind, 0) + 1
        act: Callable[[], None] = getattr(self, f"_{kind}")
        act()
        self._plan(kind)

    # -- the gateway ---------------------------------------------------------------------------

    def _kill(self) -> None:
        machine = self._world.machine
        if machine.dead:
            return
        # some steps are reached a thousand times more often than others; near ones and far ones
        machine.kill_in = int(2 ** self._world.chance.uniform(0, 9))

    def _stop(self) -> None:
        self._world.loop.spawn(0, self._world.stop_and_start())

    def _link_cut(self) -> None:
        for wire in list(self._world.machine.wires):
            if self._world.chance.random() < 0.7:
                wire.cut()

    def _link_reset(self) -> None:
        for wire in list(self._world.machine.wires):
            if self._world.chance.random() < 0.7:
                wire.reset()

    def _disk_trouble(self) -> None:
        machine = self._world.machine
        machine.trouble_until = self._world.loop.time() + self._world.chance.uniform(0.1, 60.0)

    def _clock_jump(self) -> None:
        hours = self._world.chance.choice([-48, -5, -0.1, 0.01, 3, 30])
        self._world.clock.offset += hours * 3600
        self._world.note(f"the wall clock jumps by {hours} h")

    # -- the broker ----------------------------------------------------------------------------

    def _broker_restart(self) -> None:
        self._world.restart_broker(forgets=False)

    def _broker_forgets(self) -> None:
        self._world.restart_broker(forgets=True)

    def _slow_network(self) -> None:
        broker = self._world.broker
        broker.slow = self._world.chance.choice([0.01, 0.03, 0.3, 2.0])

    # -- the boards ----------------------------------------------------------------------------

    def _board_reset(self) -> None:
        board = self._world.chance.choice(self._world.boards)
        if board.on:
            board.reboot_in(self._world.chance.uniform(0.1, 30.0))

    def _board_away(self) -> None:
        board = self._world.chance.choice(self._world.boards)
        if board.on:
            board.reboot_in(self._world.chance.uniform(60.0, 7200.0))

    def _board_cut(self) -> None:
        self._world.chance.choice(self._world.boards).lose_connection()

    def _flash_full(self) -> None:
        board = self._world.chance.choice(self._world.boards)
        board.full = not board.full

    def _push(self) -> None:
        good = self._world.chance.random() < 0.7
        self._world.push(self._world.chance.choice(self._world.boards), good=good)
