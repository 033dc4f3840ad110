"""`gateway run`: the service in the foreground, its story, and the fleet of `--simulate`.

Rules of this file. The gateway is an object of `gateway.app` and knows nothing of us; what happens
to nodes is read from the store, as any other command does. The first signal stops everything in
order (nodes, gateway, broker), the second one at once.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import examples, output, story
from gateway.cli.ending import Ending
from gateway.cli.fleet import Broker
from gateway.cli.journey import Journey
from gateway.cli.nodes import HEAD, cells
from gateway.cli.operator import Operator, command_line
from gateway.cli.talk import Talker
from gateway.errors import AuthError, BrokerError, StoreError
from gateway.hooks.lines import Share

if TYPE_CHECKING:
    from gateway.settings.load import Loaded

_TICK = 0.2
_PATIENCE = 1.0
_SWITCH = 0.001
_LIMIT = 120.0
_READY = "taking messages; Ctrl+C stops everything; in another terminal: {} nodes list"


@click.command(
    epilog=examples(
        "gateway run                        on the settings that `gateway check` shows",
        "gateway run --broker embedded      bring our own broker",
        "gateway run --simulate 3           with three nodes, to see it work",
        "gateway run --simulate 3 --once    until they are online and configured, then stop",
    )
)
@click.option(
    "--broker", type=click.Choice(["auto", "embedded", "external"]), help="[broker] mode."
)
@click.option(
    "--simulate",
    "number",
    default=0,
    type=click.IntRange(0, 255),
    metavar="N",
    help="Start N nodes.",
)
@click.option("--once", is_flag=True, help="With --simulate: stop when all nodes are configured.")
@click.option(
    "--within", "limit", default=_LIMIT, metavar="SECONDS", help="With --once: give up then (120)."
)
@click.pass_obj
def run(operator: Operator, broker: str | None, number: int, once: bool, limit: float) -> int:
    """Run the gateway until Ctrl+C."""
    if once and not number:
        raise click.UsageError("--once waits for simulated nodes: say how many with --simulate N")
    loaded = operator.load(**{"broker.mode": broker})
    service = Service(operator, loaded, number, once, limit)
    service.ending.listen()
    return service.serve()


class Service:
    """One run, from the first line to the last."""

    def __init__(
        self, operator: Operator, loaded: Loaded, number: int, once: bool, limit: float = _LIMIT
    ) -> None:
        from gateway.app import Gateway

        self._operator = operator
        self._loaded = loaded
        self._number = number
        self._once = once
        self._limit = limit
        self.gateway = Gateway(loaded.settings, files=loaded.files)
        self.ending = Ending()
        self._screen = story.Screen(operator.paint, table=number > 0 and not once)
        self._ever_connected = False
        self._embedded = False
        self._journey: Journey | None = None
        self._talk = Talker(
            lambda lost: self._screen.complain(f"{lost:,} lines were left out: nobody read them")
        )
        set_up_logging(operator, loaded, self._screen, self._talk)

    def serve(self) -> int:
        """The whole run; returns the exit code."""
        self.gateway.on_story(self._told)
        try:
            self.gateway.start()
        except BaseException:
            self._talk.flush(_PATIENCE)  # what led to it stands in front of it
            raise
        _share_the_interpreter()
        try:
            code = self._until_ready()
            if code is None:
                self._say("ready", _READY.format(command_line(self._operator.given_dir)))
                code = self._go_on()
        finally:
            self._end()
            self._talk.flush(_PATIENCE)
        return 130 if self.ending.signal == signal.SIGINT else code

    # -- the story ---------------------------------------------------------------------------

    def _say(self, kind: str, text: str) -> None:
        self._talk.flush(_PATIENCE)
        if not self._operator.quiet:
            self._screen.say(story.line(kind, text))

    def _told(self, kind: str, text: str) -> None:
        """What the gateway tells, from its own thread."""
        if self._ever_connected or kind not in ("lost", "refused"):  # those `_complain` tells first
            at = time.time() if self._ever_connected else None
            text = story.line(kind, text.partition(" | ")[0], at)
            if not self._operator.quiet:
                self._talk.soon(partial(self._screen.say, text))

    def _complain(self, error: dict[str, Any]) -> None:
        """The broker cannot be reached at the start: said once, with where the address is from."""
        why = error["why"]
        if error["exit_code"] == BrokerError.exit_code:
            origin = self._loaded.origins.get("mqtt.host", "the defaults")
            mode = self._loaded.settings.broker.mode
            why = f'[mqtt] host and port come from {origin}; [broker] mode is "{mode}"'
        parts = (("error:", error["what"]), ("why:  ", why), ("next: ", error["next"]))
        self._screen.complain(*(f"{label} {output.clean(x)}" for label, x in parts if x))

    # -- the way -----------------------------------------------------------------------------

    def _until_ready(self) -> int | None:
        """Wait for the broker for as long as it takes. None when it is there; the exit code where
        we were stopped, or where it refuses our login: that needs a person, not another try."""
        complained, began = False, time.monotonic()
        while not self.ending.signal:
            facts = self.gateway.facts()
            self._embedded = facts["embedded"]
            if facts["connected"]:
                self._ever_connected = True
                return None
            error = facts["link_error"]
            if error is not None and not complained:
                complained = True
                self._complain(error)
            if error is not None and error["exit_code"] == AuthError.exit_code:
                return AuthError.exit_code
            if self._once and time.monotonic() - began > self._limit:
                self._screen.complain(f"error: no broker within {output.span(self._limit)}")
                return 1
            self.ending.wait(0.05)
        return 0

    def _go_on(self) -> int:
        if not self._number:
            self.ending.wait()
            return 0
        self._journey = Journey(self._operator, self.gateway, self._number, self._broker())
        self._screen.say("")
        self._say("nodes", self._journey.title)
        began = time.monotonic()
        while not self.ending.wait(_TICK):
            for line in self._journey.tick():
                self._screen.say(line)
            rows, foot = self._journey.rows, self._journey.foot()
            self._screen.draw(HEAD, [cells(row, time.time()) for row in rows], foot)
            if self._once and (not self._journey.lacks() or time.monotonic() - began > self._limit):
                return self._result(time.monotonic() - began)
        return 0

    def _broker(self) -> Broker:
        mqtt, facts = self._loaded.settings.mqtt, self.gateway.facts()
        return Broker(facts["host"], facts["port"], mqtt.username, mqtt.password, mqtt.root)

    def _result(self, seconds: float) -> int:
        """The table and the verdict of `--once`."""
        assert self._journey is not None
        rows, lacks = self._journey.rows, self._journey.lacks()
        self._screen.say("")
        for line in [
            *output.aligned(HEAD, [cells(r, time.time()) for r in rows], self._operator.paint),
        ]:
            self._screen.say(line)
        total = len(self._journey.fleet)
        good = f"{total - len(lacks)} of {total} nodes registered, online and verified"
        if not lacks:
            self._screen.say(f"\nmain job done: {good} in {output.span(seconds)}")
            return 0
        self._screen.say(f"\nmain job not done: {good} after {output.span(seconds)}")
        for name, why in lacks.items():
            self._screen.complain(f"error: {name} {why}")
        self._screen.complain(f"next:  read {self._operator.state_dir}/nodes/*/node.log")
        return 1

    def _end(self) -> None:
        """Stop nodes, gateway, broker."""
        began = time.monotonic()
        self._screen.close()
        if self.ending.signal == signal.SIGINT and sys.stdin.isatty():
            self._screen.say("")  # the terminal has written ^C
        what = []
        if self._journey is not None:
            if not self._operator.verbose:  # that the nodes go offline now is no news
                logging.getLogger().setLevel(logging.ERROR)
            self._journey.fleet.stop()
            what.append(output.count(len(self._journey.fleet), "node"))
        self.gateway.stop()
        what.append(f"gateway ({output.count(self._left(), 'message')} left to do)")
        if self._embedded:
            what.append("broker")
        took = f"done in {output.span(time.monotonic() - began)}"
        self._say("stopping", f"{', '.join(what):<60} {took}")

    def _left(self) -> int:
        """Accepted messages that the next start goes on with."""
        sql = (
            "SELECT (SELECT count(*) FROM journal WHERE state = 0) + "
            "(SELECT count(*) FROM delivery WHERE state = 'open') AS n"
        )
        try:
            return int(self._operator.read(sql)[0]["n"])
        except StoreError:
            return 0


def _share_the_interpreter() -> None:
    """A plugin that never waits gives the lock away each millisecond, not each five: a message changes
    threads a few times, and waits for it each time. And what is there by now stays, and events leave no
    cycles behind: so the collector looks less, and not at it."""
    sys.setswitchinterval(_SWITCH)
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000)


class _Log(logging.Handler):
    """Log lines on stderr, above a live table where there is one."""

    def __init__(self, screen: story.Screen, talk: Talker) -> None:
        super().__init__()
        self._screen = screen
        self._talk = talk

    def emit(self, record: logging.LogRecord) -> None:
        lines = self.format(record).split("\n")
        self._talk.soon(partial(self._screen.complain, *lines))


def set_up_logging(operator: Operator, loaded: Loaded, screen: story.Screen, talk: Talker) -> None:
    """`log_level` for a service's log; at a terminal, where the story is told, `info` means warnings
    and -v shows the log (-vv: everything). -q leaves the errors."""
    level = getattr(logging, loaded.settings.log_level.upper())
    if operator.quiet:
        level = logging.ERROR
    elif operator.verbose:
        level = logging.INFO if operator.verbose == 1 else logging.DEBUG
    elif sys.stderr.isatty() and level == logging.INFO:
        level = logging.WARNING  # every gateway.toml says "info", nobody asked for it
    handler = _Log(screen, talk)
    stamp = "" if os.environ.get("JOURNAL_STREAM") else "%(asctime)s "
    handler.setFormatter(logging.Formatter(stamp + "%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(Share())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
