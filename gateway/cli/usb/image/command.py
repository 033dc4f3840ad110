"""`gateway node image`.

Rules of this file. Like the other commands: data on stdout, talk on stderr, and the next command at the
end.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import examples, json_option, output
from gateway.cli.operator import Operator
from gateway.errors import DataError

if TYPE_CHECKING:
    from gateway.cli.usb.image.build import Image
    from gateway.cli.usb.image.explain import Functions

_STEPS = {"mpy": ("names", "compile"), "romfs": ("names", "compile", "romfs"), "frozen": ("names",)}
_OUT = {"mpy": "node-image", "romfs": "node.romfs", "frozen": "node-frozen"}


@click.command(
    "image",
    epilog=examples(
        "gateway node image                            node.romfs, for a ROMFS partition",
        "gateway node image --kind mpy --out build     a folder of .mpy files",
        "gateway node image --kind frozen              sources and manifest.py for a firmware",
        "gateway node image --explain node.romfs.names.json < crash.txt",
    ),
)
@click.option(
    "--kind",
    type=click.Choice(list(_STEPS)),
    help="romfs (usual), mpy or frozen; else what --out ends with says it.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="PATH", help="Where to write it.")
@click.option(
    "--explain",
    "names",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="NAMES",
    help="Read a board's traceback from stdin and show it with the node's own names.",
)
@json_option
@click.pass_obj
def image(operator: Operator, kind: str | None, out: Path | None, names: Path | None) -> None:
    """Build the node for a small board: few files, short names, compiled.

    Pico W and ESP32 need none: `gateway node deploy` copies the files as they are. An image takes less
    of the heap, and from a ROMFS or frozen none of it for its code. docs/node/image.md says which
    boards take which kind; none has run on a board yet.
    """
    if names is not None:
        _explain(names)
        return
    from gateway.cli.usb.image.build import MPY, build

    kind = kind or ("romfs" if out is None or out.suffix == ".romfs" else "mpy")
    steps = _STEPS[kind]

    def say(step: str, text: str) -> None:
        operator.say(f"{steps.index(step) + 1}/{len(steps)} {step:<10} {text}")

    made = build(kind, out or Path(_OUT[kind]), say)
    following = _following(made)
    result: dict[str, object] = {"kind": kind, "out": str(made.out), "names": str(made.names)}
    result |= {"files": made.files, "size": made.size, "core": made.core, "next": following}
    result["mpy"] = None if kind == "frozen" else MPY

    def text() -> None:
        what = "bytes of source" if made.kind == "frozen" else "bytes"
        click.echo(
            f"{made.out}: {output.count(len(made.files), 'file')}, {made.size:,} {what}, of which"
            f" {made.core:,} are loaded always"
        )
        for line in following:
            operator.say(f"next: {line}")

    operator.show("gateway.node.image/1", result, text)


def _following(made: Image) -> list[str]:
    """What to type next, line by line."""
    from gateway.cli.parts import find_device

    out, main = shlex.quote(str(made.out)), shlex.quote(str(find_device() / "main.py"))
    if made.kind == "frozen":
        manifest = shlex.quote(str(made.out.resolve() / "manifest.py"))
        return [f"make -C ports/esp8266 BOARD=ESP8266_GENERIC FROZEN_MANIFEST={manifest}"]
    if made.kind == "romfs":
        first = [f"mpremote romfs deploy {out}", f"mpremote fs cp {main} :main.py"]
    else:
        first = [f"mpremote fs cp -r {out}/gwnode {out}/main.py :"]
    return [*first, "gateway node provision --type ph --ssid greenhouse"]


def _explain(names: Path) -> None:
    from gateway.cli.usb.image.explain import explained

    functions = _functions(names)
    if sys.stdin.isatty():
        click.echo("paste the traceback, then Ctrl-D", err=True)
    click.echo(explained(sys.stdin.read(), functions), nl=False)


def _functions(names: Path) -> Functions:
    """What `build` wrote beside the image. Raises DataError."""
    try:
        found = json.loads(names.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _no_names(names, str(error)) from error
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise _no_names(names, "it is no JSON of the form that the build writes")
    return found


def _no_names(names: Path, why: str) -> DataError:
    return DataError(
        f"{names} has no names of an image",
        why=why,
        hint="the file that ends with .names.json lies beside the image",
    )
