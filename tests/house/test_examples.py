"""What stands in the documents runs, and what they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
