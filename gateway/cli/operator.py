"""What every command finds in `click.Context.obj`: the settings, the store to read, the gateway to ask.

Rules of this file. The store is opened read-only; what should happen goes into `commands.db` and the
gateway does it (two processes that write one database fight over it). Secrets of nodes are never read.
Nothing is imported before it is needed: this file is on the way of `gateway version`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import output
from gateway.errors import BusyError, DataError, StoreError

if TYPE_CHECKING:
    from gateway.api import Answer
    from gateway.settings.load import Loaded
    from gateway.store.reader import Reader

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.2
_NODE = (
    "id, uid, hardware_id, name, type, lifecycle_state, life, gh, zone, pending_gh, pending_zone, "
    "pending_at, protocol, boot_id, fw_version, hardware_revision, first_seen_at, last_seen_at, "
    "created_at, updated_at"
)
"""The columns of `nodes` that may be shown: all but the secrets."""


class Operator:
    """Implements `gateway.api.Operator` for the command line."""

    def __init__(
        self,
        *,
        config: Path | None = None,
        state_dir: Path | None = None,
        verbose: int = 0,
        quiet: bool = False,
        color: bool = True,
    ) -> None:
        self.config = config
        self.given_dir = state_dir
        self.verbose = verbose
        self.quiet = quiet
        self.color = color

    # -- settings and store ------------------------------------------------------------------

    def load(self, **flags: object) -> Loaded:
        """The settings, with flags (`**{"broker.mode": "embedded"}`) on top. Raises SettingsError."""
        from gateway.settings.load import load

        over = {key: value for key, value in flags.items() if value is not None}
        if self.given_dir is not None:
            over["state_dir"] = str(self.given_dir)
        return load(self.config, over)

    @cached_property
    def loaded(self) -> Loaded:
        """The settings as the files, the environment and the global flags say."""
        return self.load()

    @cached_property
    def state_dir(self) -> Path:
        """The folder of everything that the gateway keeps."""
        return self.given_dir or Path(self.loaded.settings.state_dir).expanduser()

    @cached_property
    def store(self) -> Reader:
        """The store, read-only."""
        from gateway.store.reader import Reader

        return Reader(self.state_dir / "gateway.db")

    @property
    def running(self) -> bool:
        """True while a gateway holds the state folder."""
        return self.pid is not None

    @property
    def pid(self) -> int | None:
        """The process that holds the state folder, None where no gateway runs."""
        from gateway.store.lock import holder

        return holder(self.state_dir)

    def read(self, sql: str, *params: object) -> list[dict[str, Any]]:
        """Rows of the store as dictionaries. Raises StoreError where there is none."""
        return self.store.rows(sql, *params)

    def has(self, *tables: str) -> bool:
        """True where the store has all of these tables (a plugin may never have run)."""
        marks = ", ".join("?" * len(tables))
        found = self.read(
            f"SELECT count(*) AS n FROM sqlite_master WHERE type = 'table' AND name IN ({marks})",
            *tables,
        )
        return bool(found[0]["n"] == len(tables))

    def node(self, name: str) -> dict[str, Any]:
        """The row of `nodes` for a uid or hardware_id, without secrets. Raises DataError."""
        found = self.read(
            f"SELECT {_NODE} FROM nodes WHERE id = "
            "coalesce((SELECT node_id FROM node_names WHERE name = ?1), "
            "(SELECT id FROM nodes WHERE lower(uid) = ?1 OR lower(hardware_id) = ?1 LIMIT 1))",
            name.lower(),
        )
        if found:
            return found[0]
        known = self.read(
            "SELECT uid AS n FROM nodes WHERE uid IS NOT NULL "
            "UNION SELECT hardware_id FROM nodes WHERE hardware_id IS NOT NULL"
        )
        raise unknown_node(name, [row["n"] for row in known])

    # -- asking the gateway ------------------------------------------------------------------

    def hand(self, verb: str, node: str = "", **args: object) -> str:
        """Hand a command over without waiting; returns its id for `answer`."""
        from gateway.store.commands import NAME, CommandFile

        if not self.state_dir.is_dir():
            raise StoreError(
                f"there is no state folder {self.state_dir}",
                why="no gateway has run with these settings",
                hint="gateway run, or name the folder: gateway --state-dir DIR ...",
            )
        return CommandFile(self.state_dir / NAME).put(verb, node, args)

    def answer(self, command_id: str) -> Answer | None:
        """What became of a command, None while it is not done."""
        from gateway.api import Answer

        try:
            found = self.store.answer(command_id)
        except StoreError:
            if not self.running:
                raise
            return None  # the gateway is just making its store
        return None if found is None else Answer(ok=found["ok"], result=found["result"])

    def ask(self, verb: str, node: str = "", *, wait: float = 10.0, **args: object) -> Answer:
        """Hand a command to the gateway through `commands.db` and wait for its answer, seconds.

        Raises BusyError where no gateway runs: the command stays queued for the next one.
        """
        from gateway.api import Answer

        command_id = self.hand(verb, node, **args)
        if not self.running:
            raise BusyError(
                f"queued: no gateway is running in {self.state_dir}",
                why="the command waits there for 12 hours; the next gateway does it when it starts",
                hint="gateway run",
            )
        deadline, pause = time.monotonic() + wait, _FIRST_PAUSE
        while True:
            found = self.answer(command_id)
            if found is not None:
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                return Answer(ok=False, done=False)
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def order(
        self, verb: str, node: str = "", *, wait: float = 10.0, **args: object
    ) -> dict[str, Any]:
        """`ask` for a command that must succeed: returns the result, else raises."""
        found = self.ask(verb, node, wait=wait, **args)
        if not found.done:
            raise BusyError(
                f"the gateway has not answered within {output.span(wait)}",
                why="the command is in its journal or about to be, and will be done",
                hint="gateway status",
            )
        if not found.ok:
            raise refusal(verb, found.result)
        return found.result

    # -- output ------------------------------------------------------------------------------

    @property
    def paint(self) -> output.Paint:
        """Colours for stdout."""
        return output.stdout_paint(self.color)

    @property
    def wants_json(self) -> bool:
        """True where the command was given `--json`, whatever its parameter is called."""
        ctx = click.get_current_context(silent=True)
        if ctx is None:
            return False
        given = (o.name for o in ctx.command.params if "--json" in o.opts)
        return bool(ctx.meta.get("gateway.json")) or any(ctx.params.get(n or "") for n in given)

    def show(self, schema: str, data: Any, text: Callable[[], None]) -> None:
        """Print `data` with its schema tag where `--json` was given, else call `text`."""
        if self.wants_json:
            click.echo(output.dumps(output.document(schema, data)))
        else:
            text()

    def table(self, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table on a terminal, tab-separated lines elsewhere."""
        for line in output.table(head, rows, self.paint):
            click.echo(line)

    def say(self, line: str) -> None:
        """Talk, on stderr."""
        if not self.quiet:
            click.echo(line, err=True)

    def confirm(self, question: str) -> bool:
        """Ask a person; "no" is said. Raises UsageError where nobody answers."""
        yes = output.asked(question)
        if not yes:
            self.say("nothing done")
        return yes

    def hint(self, line: str) -> None:
        """The next command, for a person at a terminal only."""
        if not self.quiet and not self.wants_json and sys.stdout.isatty():
            click.echo(f"next: {line}", err=True)


def command_line(given_dir: Path | None) -> str:
    """How a person calls this gateway's commands in another terminal, in this folder."""
    from shutil import which

    program = Path(sys.argv[0])
    found = which("gateway")
    is_on_path = found is not None and Path(found).resolve() == program.resolve()
    name = str(program) if program.name == "gateway" and not is_on_path else "gateway"
    return name if given_dir is None else f"{name} --state-dir {given_dir}"


def unknown_node(name: str, known: Sequence[str]) -> DataError:
    """No such node, with those that may have been meant: a part of a name will do."""
    from difflib import get_close_matches

    wanted = name.lower()
    close = [n for n in known if wanted in n.lower()] or get_close_matches(wanted, known, n=1)
    meant = " or ".join(f'"{output.clean(n)}"' for n in close[:3])
    return DataError(
        f"there is no node {output.clean(name)!r}",
        why=f"did you mean {meant}?" if close else f"{len(known)} names are known",
        hint="gateway nodes list",
    )


def refusal(verb: str, result: Mapping[str, Any]) -> DataError:
    """A command's bad answer as an error; `problems` are listed with their paths."""
    what = str(result.get("error", f"{verb} was refused"))
    problems = result.get("problems") or []
    lines = []
    if problems:
        what = f"{verb} was refused: {output.count(len(problems), 'problem')}"
        width = max(len(str(problem["path"])) for problem in problems)
        lines = [f"  {p['path']!s:<{width}}   {p['message']}" for p in problems]
    text = "\n".join(output.clean(line) for line in (what, *lines))
    return DataError(
        text, why=output.clean(result.get("why", "")), hint=output.clean(result.get("next", ""))
    )
