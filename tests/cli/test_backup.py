"""`gateway backup`: what it prints, its JSON, its exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def parts(result: Any) -> list[str]:
    """The labels of an error's lines."""
    return [line.split(":")[0] for line in result.stderr.splitlines()[-3:]]


def test_create_list_verify(state: Any, gw: Any) -> None:
    """A backup is made, listed and found good, and the JSON of each says what it holds."""
    state.node(1)
    made = gw("backup", "create")
    assert made.exit_code == 0, made.output
    name = Path(made.stdout.split()[0]).name
    assert "1 node as of" in made.stdout
    listed = gw("backup", "list")
    assert listed.stdout.split("\t")[0] == name
    assert json.loads(gw("backup", "list", "--json").stdout)["backups"][0]["nodes"] == 1
    found = gw("backup", "verify", name)
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith(f"{name} is good: 1 node")
    data = json.loads(gw("backup", "verify", name, "--json").stdout)
    assert data["schema"] == "gateway.backup.verify/1"
    assert (data["ok"], data["rows"], data["holds"]) == (True, 0, ["gateway.db"])


def test_no_secrets_is_said(state: Any, gw: Any, tmp_path: Path) -> None:
    """The file says so, at once and whenever somebody looks at it."""
    state.node(1)
    gw("backup", "create", "--no-secrets", "-o", str(tmp_path / "show.zip"))
    found = gw("backup", "verify", str(tmp_path / "show.zip"))
    assert "WITHOUT SECRETS" in found.stdout
    assert "not in it: secrets of nodes" in found.stderr
    assert b"s3cr3t" not in (tmp_path / "show.zip").read_bytes()


def test_a_damaged_file_is_listed_as_such(state: Any, gw: Any) -> None:
    """`list` shows it among the others, `verify` and `restore` refuse it with 65 in three lines."""
    gw("backup", "create")
    (file,) = (state.folder / "backups").iterdir()
    os.truncate(file, 1000)
    assert "DAMAGED" in gw("backup", "list").stdout
    for verb in ("verify", "restore"):
        result = gw("backup", verb, file.name)
        assert result.exit_code == 65
        assert parts(result) == ["error", "why", "next"]


def test_a_damaged_row_is_exit_65(state: Any, gw: Any) -> None:
    """The file is whole, the store was not: `verify` counts the rows."""
    state.message(1, "event", {"a": 1})  # its CRC is 0
    gw("backup", "create")
    (file,) = (state.folder / "backups").iterdir()
    result = gw("backup", "verify", file.name)
    assert result.exit_code == 65
    assert "1 row compared with their CRC, 1 DAMAGED" in result.stdout


def test_restore_goes_where_it_was_told(state: Any, gw: Any, shell: Any, tmp_path: Path) -> None:
    """To --state-dir, else to this machine's settings, else to the folder that the backup names."""
    state.node(1)
    gw("backup", "create", "-o", str(tmp_path / "b.zip"))
    (tmp_path / "gateway.db").unlink()
    back = shell("backup", "restore", "b.zip")
    assert back.returncode == 0, back.stderr
    assert back.stdout.splitlines()[0].endswith(f"to {state.folder}")
    assert (state.folder / "gateway.db").exists()
    elsewhere = shell("--state-dir", "other", "backup", "restore", "b.zip", "--json")
    assert json.loads(elsewhere.stdout)["state_dir"] == "other"
    assert (tmp_path / "other" / "gateway.db").exists()


def test_restore_refuses_what_is_in_the_way(state: Any, gw: Any, tmp_path: Path) -> None:
    """74 and three lines that name --force; nothing was touched."""
    gw("backup", "create", "-o", str(tmp_path / "b.zip"))
    before = (state.folder / "gateway.db").read_bytes()
    result = gw("backup", "restore", str(tmp_path / "b.zip"))
    assert result.exit_code == 74
    assert parts(result) == ["error", "why", "next"]
    assert "--force" in result.stderr
    assert (state.folder / "gateway.db").read_bytes() == before
    assert gw("backup", "restore", str(tmp_path / "b.zip"), "--force").exit_code == 0


def test_restore_never_goes_under_a_running_gateway(state: Any, gw: Any, answering: Any) -> None:
    """75, and the gateway is named; a backup beside it works."""
    assert answering.asked == []
    made = gw("backup", "create")
    assert made.exit_code == 0
    (file,) = (state.folder / "backups").iterdir()
    result = gw("backup", "restore", file.name, "--force")
    assert result.exit_code == 75
    assert "process 4711" in result.stderr


def test_there_is_nothing_to_back_up(shell: Any) -> None:
    """74 on a machine that never ran a gateway, and no folder was made for it."""
    result = shell("--state-dir", "none", "backup", "create")
    assert result.returncode == 74
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["error", "why", "next"]
