"""No list is kept by hand where the code or the folder knows it: what is enumerated twice drifts."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from gateway import hookspecs
from gateway.cli import COMMANDS

if TYPE_CHECKING:
    from conftest import House

COUNTED = re.compile(
    r"\b(?:the |all )?(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\d+) "
    r"(hooks|plugins|commands|verbs|tables|rooms|refusal words|kinds|seeded defects|vectors)\b",
    re.IGNORECASE,
)


def test_documents_count_nothing_that_grows(house: House) -> None:
    """No page says how many hooks, commands or tables there are: it would be wrong with the next one."""
    wrong = []
    for page in [*house.root.glob("*.md"), *house.root.glob("docs/**/*.md")]:
        if page.name in ("CHANGELOG.md", "figures.md"):
            continue  # what was, and what was measured
        for number, line in enumerate(page.read_text().splitlines(), 1):
            for found in COUNTED.finditer(line):
                wrong.append(f"{page.relative_to(house.root)}:{number}: {found[0]}")
    assert not wrong, "\n".join(wrong)


def test_each_hook_is_listed_by_the_code_alone(house: House) -> None:
    """No test writes down all hooks or all commands: it reads them."""
    hooks = {
        name
        for name, value in vars(hookspecs).items()
        if getattr(value, f"{hookspecs.NAME}_spec", None) is not None
    }
    wrong = []
    for source in house.under("tests", "plugins"):
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.List | ast.Tuple | ast.Set):
                continue
            words = {one.value for one in node.elts if isinstance(one, ast.Constant)}
            for what, known in (("hooks", hooks), ("commands", set(COMMANDS))):
                if len(words & known) > len(known) / 2:
                    wrong.append(f"{source.path}:{node.lineno}: a list of {what}")
    assert not wrong, "\n".join(wrong)


def test_the_makefile_says_what_each_verb_does(house: House) -> None:
    """`make help` reads the verbs from the file, so each has its line."""
    text = (house.root / "Makefile").read_text()
    verbs = set(re.findall(r"^([a-z][a-z0-9-]*):", text, re.MULTILINE))
    told = set(re.findall(r"^([a-z][a-z0-9-]*):.*## \S", text, re.MULTILINE))
    assert verbs == told
