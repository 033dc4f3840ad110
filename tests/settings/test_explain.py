"""The position finder: every key of a valid document is found at its place."""

from __future__ import annotations

import tomli
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings.explain import Place, did_you_mean, positions

bare = st.text("abcdefgh_-0123456789", min_size=1, max_size=6)
quoted = bare.map(lambda word: f'"{word} . ="')
values = st.sampled_from(
    [
        "1",
        '"text # no comment [x] = 1"',
        "'lit\"eral'",
        '"""\nseveral\nlines = 1\n[not.a.table]\n"""',
        "'''\nraw = 2\n'''",
        "[1, 2]",
        "[\n  1, # one\n  2,\n]",
        "{ a = 1, b = { c = 2 } }",
        "1979-05-27T07:32:00Z",
        '"with \\" quote"',
    ]
)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[tuple[str, ...], int]]:
    """A document with tables, and the line of each key."""
    lines: list[str] = []
    where: dict[tuple[str, ...], int] = {}
    names = draw(st.lists(st.one_of(bare, quoted), max_size=4, unique_by=lambda n: n.strip('"')))
    for table in ["", *names]:
        if table:
            lines.append(draw(st.sampled_from([f"[{table}]", f"  [ {table} ]  # comment"])))
        keys = draw(st.lists(st.one_of(bare, quoted), max_size=4, unique_by=lambda n: n.strip('"')))
        for key in keys:
            if not table and key in names:
                continue
            if draw(st.booleans()):
                lines.append(draw(st.sampled_from(["", "# k = 1", "   "])))
            path = ((table.strip('"'),) if table else ()) + (key.strip('"'),)
            where[path] = sum(line.count("\n") + 1 for line in lines) + 1
            lines.append(f"{key} = {draw(values)}" + draw(st.sampled_from(["", "  # note"])))
    return "\n".join(lines) + "\n", where


@given(documents())
def test_every_key_is_found_at_its_line(case: tuple[str, dict[tuple[str, ...], int]]) -> None:
    """Whatever stands in strings, arrays and comments: keys are found where they are."""
    text, where = case
    try:
        tomli.loads(text)
    except tomli.TOMLDecodeError:  # a table with the name of a key: not valid, not ours
        return
    found = positions(text)
    assert {path: place.line for path, place in found.items() if path in where} == where


def test_columns_and_dotted_keys() -> None:
    """A key that is indented or dotted has its own column and its parents' place."""
    found = positions("a.b = 1\n  [t]\n    key = 2\n")
    assert found["a", "b"] == found["a",] == Place(1, 1)
    assert found["t",] == Place(2, 3)
    assert found["t", "key"] == Place(3, 5)


def test_suggestions_are_near_or_none() -> None:
    """A near word is offered, a far one is not."""
    assert did_you_mean("keepalve", ["keepalive", "port"]) == 'did you mean "keepalive"?'
    assert did_you_mean("zzz", ["keepalive", "port"]) == ""
