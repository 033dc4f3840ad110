"""`gateway backup`: make one, list them, look one over, put one back.

Rules of this file. A backup is made by the command itself, from a snapshot beside a gateway that may
run; putting one back needs the folder for itself. What a backup could not hold is said when it is
made and again when it is put back.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import Group, examples, json_option, output
from gateway.cli.operator import Operator
from gateway.errors import DataError
from gateway.failpoint import from_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.store.backup.archive import Backup

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(
    cls=Group,
    epilog=examples(
        "gateway backup create",
        "gateway backup list",
        "gateway backup verify gateway-000012-20261123T120000Z-manual.zip",
        "gateway backup restore gateway-000012-20261123T120000Z-manual.zip",
    ),
)
def backup() -> None:
    """Backups, one file with everything: make, put back."""
    from_environment()


@backup.command(
    epilog=examples(
        "gateway backup create                       into the folder of backups",
        "gateway backup create -o /mnt/usb/today.zip",
        "gateway backup create --no-secrets -o for-the-forum.zip",
    )
)
@click.option("-o", "--output", "file", type=_FILE, metavar="FILE", help="Under this name.")
@click.option(
    "--no-secrets", is_flag=True, help="Without keys, passwords and messages: to show to others."
)
@json_option
@click.pass_obj
def create(operator: Operator, file: Path | None, no_secrets: bool) -> None:
    """Make a backup now, also while the gateway runs."""
    from gateway.store.backup import archive as backups
    from gateway.store.backup.plan import plan

    what = plan(operator.state_dir, operator.loaded.files, secrets=not no_secrets)
    made = backups.create(what, folder(operator), file)

    def text() -> None:
        click.echo(f"{made.file}  {_summary(made)}")
        _say_left_out(operator, made)
        operator.hint(f"gateway backup verify {made.file}")

    operator.show("gateway.backup.create/1", described(made), text)


@backup.command("list", epilog=examples("gateway backup list", "gateway backup list --json"))
@json_option
@click.pass_obj
def list_(operator: Operator) -> None:
    """The backups in their folder, the newest first."""
    from gateway.store.backup import archive as backups

    found: list[dict[str, Any]] = []
    for path in backups.listed(folder(operator)):
        try:
            found.append(described(backups.read(path)) | {"error": None})
        except DataError as error:
            found.append({"file": str(path), "error": error.why})
    now = time.time()

    def text() -> None:
        if not found:
            operator.say(f"no backups in {folder(operator)}")
            operator.hint("gateway backup create")
            return
        rows = [_row(x, now) for x in found]
        operator.table(("FILE", "MADE", "KIND", "NODES", "SIZE", "SECRETS"), rows)
        operator.hint(f"gateway backup verify {Path(found[0]['file']).name}")

    operator.show(
        "gateway.backup.list/1", {"folder": str(folder(operator)), "backups": found}, text
    )


@backup.command(epilog=examples("gateway backup verify today.zip"))
@click.argument("file", type=_FILE)
@json_option
@click.pass_obj
def verify(operator: Operator, file: Path) -> int:
    """Look a backup over: every byte, the database, the checksum of every message.

    Exit code 0 where it is good, 65 where it is damaged.
    """
    from gateway.store.backup import restore as restoring

    found = restoring.verify(_find(operator, file))
    data = described(found.backup) | {"rows": found.rows, "damaged_rows": found.damaged}

    def text() -> None:
        click.echo(f"{found.backup.file.name} is good: {_summary(found.backup)}")
        click.echo(f"  database   sound, schema {found.backup.schema}")
        damaged = f", {found.damaged} DAMAGED (they are never served)" if found.damaged else ""
        click.echo(
            f"  messages   {output.count(found.rows, 'row')} compared with their CRC{damaged}"
        )
        _say_left_out(operator, found.backup)
        operator.hint(f"gateway backup restore {found.backup.file}")

    operator.show("gateway.backup.verify/1", data | {"ok": not found.damaged}, text)
    return DataError.exit_code if found.damaged else 0


@backup.command(
    epilog=examples(
        "gateway backup restore today.zip",
        "gateway --state-dir /var/lib/gateway backup restore today.zip --force",
    )
)
@click.argument("file", type=_FILE)
@click.option("--force", is_flag=True, help="Move aside what is there already; nothing is deleted.")
@json_option
@click.pass_obj
def restore(operator: Operator, file: Path, force: bool) -> None:
    """Put a backup back: database, settings and keys, each where it was.

    The state folder is the one of --state-dir or of this machine's settings, else that of the backup.
    """
    from gateway.store.backup import archive as backups
    from gateway.store.backup import restore as restoring

    found = backups.read(file := _find(operator, file))
    target = _target(operator, found)
    with _held(target):
        written = restoring.restore(file, target, force=force)
    data = described(found) | {"state_dir": str(target), "written": [str(path) for path in written]}

    def text() -> None:
        click.echo(f"restored {_summary(found)} to {target}")
        for path in written:
            click.echo(f"  {output.clean(path)}")
        _say_left_out(operator, found)
        operator.hint("gateway run")

    operator.show("gateway.backup.restore/1", data, text)


def folder(operator: Operator) -> Path:
    """Where backups lie."""
    from gateway.service.keeper import backups_folder

    return backups_folder(operator.loaded.settings, operator.state_dir)


def described(found: Backup) -> dict[str, Any]:
    """A backup for machines."""
    return {
        "file": str(found.file),
        "kind": found.kind,
        "created_at": output.rfc3339(found.created_at),
        "version": found.version,
        "host": found.host,
        "state_dir": found.state_dir,
        "schema_version": found.schema,
        "nodes": found.nodes,
        "secrets": found.secrets,
        "size_bytes": found.file.stat().st_size,
        "holds": [member.path or member.name for member in found.members],
        "left_out": list(found.left_out),
    }


def _summary(found: Backup) -> str:
    secrets = "" if found.secrets else ", WITHOUT SECRETS"
    made = output.clock(found.created_at, time.time())
    size = output.size(found.file.stat().st_size)
    return f"{output.count(found.nodes, 'node')} as of {made}, {size}{secrets}"


def _row(x: dict[str, Any], now: float) -> tuple[object, ...]:
    name = Path(x["file"]).name
    if x["error"]:
        return (name, None, f"DAMAGED: {x['error']}", None, None, None)
    from datetime import datetime

    made = datetime.fromisoformat(x["created_at"]).timestamp()
    secrets = "with" if x["secrets"] else "without"
    return (
        name,
        output.clock(made, now),
        x["kind"],
        x["nodes"],
        output.size(x["size_bytes"]),
        secrets,
    )


def _say_left_out(operator: Operator, found: Backup) -> None:
    for what in found.left_out:
        operator.say(f"not in it: {output.clean(what)}")


def _find(operator: Operator, file: Path) -> Path:
    """The file as it was named, else of that name in the folder of backups."""
    beside = folder(operator) / file
    return beside if not file.exists() and beside.exists() else file


def _target(operator: Operator, found: Backup) -> Path:
    given = operator.given_dir is not None or "state_dir" in operator.loaded.origins
    return operator.state_dir if given else Path(found.state_dir)


@contextmanager
def _held(target: Path) -> Iterator[None]:
    """The state folder for ourselves. Raises BusyError where a gateway runs on it."""
    from gateway.store.lock import StateLock

    lock = StateLock(target)
    lock.take()
    try:
        yield
    finally:
        lock.release()
