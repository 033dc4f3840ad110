"""What stands in the documents runs, and what they name is there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/**/*.md")]
    if path.name != "CHANGELOG.md"
)
BLOCKS = [
    pytest.param(block, id=f"{path.relative_to(ROOT)}-{number}")
    for path in PAGES
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_python_blocks_run(block: str) -> None:
    """Each Python block of the documents is a module that imports and registers as a plugin."""
    names: dict[str, object] = {}
    exec(compile(block, "block", "exec"), names)  # noqa: S102 - our own documents
    marked = [v for v in names.values() if getattr(v, "gateway_impl", None) is not None]
    assert marked, "no @hookimpl in it"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links in the documents name files that exist."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_names_verbs_that_exist() -> None:
    """Every `make VERB` in README and CONTRIBUTING is in the Makefile."""
    verbs = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md"):
        for verb in re.findall(r"\bmake ([a-z0-9]+)", (ROOT / name).read_text()):
            assert verb in verbs, f"{name} names make {verb}"


def commands(page: Path) -> set[str]:
    """The `gateway ...` lines of a page's blocks and of its text."""
    text = page.read_text()
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    lines = [re.sub(r"^\s*\$ ", "", line) for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(gateway [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    # what stands behind two blanks or a # explains the command; | and && begin another one
    parts = [re.split(r"\s{2,}|\s#|\||&&|;|>", part.strip())[0] for part in lines]
    return {part.strip() for part in parts if part.startswith("gateway ")}


@cache
def help_of(*words: str) -> str:
    """What `gateway WORDS --help` prints, "" where there is no such command."""
    done = CliRunner().invoke(cli, [*words, "--help"], prog_name="gateway")
    return done.output if done.exit_code == 0 else ""


WRITTEN = [*PAGES, *ROOT.glob("device/*.md")]


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_documents_exist(page: Path) -> None:
    """Every command that a document names is there, with the options that it names."""
    wrong = []
    for line in sorted(commands(page)):
        words = line.split()[1:]
        plain = [word for word in words if not word.startswith("-")]
        path = plain[:1]
        if len(plain) > 1 and "COMMAND [ARGS]" in help_of(*path):
            path = plain[:2]
        told = help_of(*path)
        if not told:
            wrong.append(f"{line}: there is no such command")
        known = told + help_of()
        wrong += [
            f"{line}: {word} is no option of it"
            for word in words
            if re.fullmatch(r"--?[a-z][a-z-]*", word) and word not in known
        ]
    assert not wrong, "\n".join(wrong)
