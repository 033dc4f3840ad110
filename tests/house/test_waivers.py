"""A waiver names the rule that it waives and says why; documents name only verbs that exist."""

from __future__ import annotations

import io
import re
import tokenize
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import House, Source

WAIVER = re.compile(r"#\s*(?:noqa|type:\s*ignore|pyright:\s*ignore)\b", re.IGNORECASE)
GOOD = re.compile(
    r"# (?:noqa: [A-Z]+[0-9]+(?:, ?[A-Z]+[0-9]+)*|type: ignore\[[a-z, -]+\]|pyright: ignore\[\w+\])"
    r"\s*(?:#|-|:)\s*\S.{3,}"
)


def waivers(source: Source) -> list[tuple[int, str]]:
    """The comments of a file that silence a tool, with their lines."""
    tokens = tokenize.generate_tokens(io.StringIO(source.text).readline)
    return [
        (token.start[0], token.string)
        for token in tokens
        if token.type == tokenize.COMMENT and WAIVER.match(token.string)
    ]


def test_each_waiver_has_a_code_and_a_reason(house: House) -> None:
    """`# noqa: S311 - jitter, not a secret`, never a bare `# noqa`."""
    wrong = [
        f"{source.path}:{line}: {text}"
        for source in house.under(*house.folders())
        for line, text in waivers(source)
        if not GOOD.match(text)
    ]
    assert not wrong, "\n".join(wrong)


def test_waivers_are_few(house: House) -> None:
    """The gateway has less than five waivers in a thousand lines."""
    sources = house.under("gateway")
    lines = sum(source.text.count("\n") for source in sources)
    assert sum(len(waivers(source)) for source in sources) < 5 * lines / 1000


def test_documents_name_only_verbs_that_exist(house: House) -> None:
    """Every `make verb` in a document is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z0-9_-]+):", (house.root / "Makefile").read_text(), re.M))
    pages = [*house.root.glob("*.md"), *house.root.glob("docs/**/*.md")]
    pages += [*house.root.glob("plugins/**/*.md"), *house.root.glob("device/*.md")]
    wrong = [
        f"{page.relative_to(house.root)}: make {verb}"
        for page in pages
        for verb in re.findall(r"(?:^\s*\$?\s*|`)make ([a-z0-9_-]+)", page.read_text(), re.M)
        if verb not in targets
    ]
    assert not wrong, "\n".join(wrong)
