"""`plugins new` writes a whole project: it runs, it is clean, and nothing is written over."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gateway.errors import DataError
from gateway.host.check import check
from gateway.host.scaffold import KINDS, LAYOUT, LONGEST, filled, template, write

NAMES = ("door-sensor", "x", "a" + "-b2" * 13, "message")


@pytest.fixture(params=NAMES)
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A project of each kind of name."""
    folder = tmp_path / "project"
    write(request.param, folder)
    return folder


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A tool in the project's folder, with nothing of this repository's settings."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**os.environ, "PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_its_own_tests_pass(tmp_path: Path) -> None:
    """`python -m pytest -q` in the new folder, as the author's first command."""
    write("door-sensor", tmp_path)
    done = run(tmp_path, "pytest", "-q", "-W", "error", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("...")


def test_the_gateway_loads_it(project: Path) -> None:
    """Whatever its name, the gateway has nothing against it."""
    (package,) = project.glob("gateway_*")
    report = check(package)
    assert report.faults == []
    assert set(report.plugin.hooks) == {"manifest", "node_message"}


def test_it_is_written_as_we_write(tmp_path: Path) -> None:
    """Formatted, and without a fault that linters would find."""
    write("door-sensor", tmp_path)
    checked = run(tmp_path, "ruff", "check", "--isolated", "--select", "F,I,B,UP", ".")
    assert checked.returncode == 0, checked.stdout
    formatted = run(
        tmp_path, "ruff", "format", "--isolated", "--line-length", "100", "--check", "."
    )
    assert formatted.returncode == 0, formatted.stdout


def test_its_project_file_names_it(project: Path) -> None:
    """The entry point leads to the package that is there."""
    (package,) = project.glob("gateway_*")
    found = tomllib.loads((project / "pyproject.toml").read_text())
    assert list(found["project"]["entry-points"]["gateway"].values()) == [package.name]
    assert found["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [package.name]


def test_no_mark_is_left(project: Path) -> None:
    """Every place of every template is filled."""
    texts = [path.read_text() for path in project.rglob("*") if path.is_file()]
    assert len(texts) == len(LAYOUT)
    assert not [text for text in texts if filled(text, "x") != text]


def test_every_template_is_used() -> None:
    """What travels with the package is what is written."""
    place = Path(sys.modules[template.__module__].__file__ or "").parent
    assert {path.name for path in place.glob("*.txt")} == set(LAYOUT.values())


@pytest.mark.parametrize(
    "name",
    ["", "Door", "9", "door sensor", "../door", "door-", "a" * (LONGEST + 1), *sorted(KINDS)],
)
def test_a_name_that_will_not_do(tmp_path: Path, name: str) -> None:
    """Refused with a reason, and nothing is written."""
    with pytest.raises(DataError):
        write(name, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """A folder with something in it stays as it is."""
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(DataError, match="there already"):
        write("door", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
