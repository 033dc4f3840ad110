"""The tables: equal to the vectors, and equal to what their own descriptions say."""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol import states
from gateway.protocol.states import (
    CONFIG_FINALS,
    CONFIG_STATES,
    LIFECYCLE,
    NODE_TYPES,
    TYPE_ALIASES,
    may_become,
    node_type,
)

TABLES = {"lifecycle": LIFECYCLE, "config_states": CONFIG_STATES}


def described(name: str) -> str:
    """The description below a constant of `states`."""
    body = ast.parse(inspect.getsource(states)).body
    for node, after in pairwise(body):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name:
            assert isinstance(after, ast.Expr)
            assert isinstance(after.value, ast.Constant)
            return str(after.value.value)
    raise AssertionError(name)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_table_is_the_one_of_the_vectors(name: str, vectors: Any) -> None:
    """Both sides of the wire step through the same tables."""
    expected = vectors("states.json")[name]
    assert {state: set(exits) for state, exits in expected.items()} == dict(TABLES[name])
    assert list(expected) == list(TABLES[name])


@pytest.mark.vectors("states.json", "ways")
def test_ways(case: dict[str, Any]) -> None:
    """A way is legal when each of its steps is, and illegal ways fail at a step."""
    way = case["way"]
    steps = pairwise(way)
    assert all(may_become(TABLES[case["table"]], a, b) for a, b in steps) is case["legal"]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_exits_lead_to_states_of_the_table(table: Any) -> None:
    """No row names a state that has no row."""
    assert set().union(*table.values()) <= set(table)


def test_finals_have_no_exit(vectors: Any) -> None:
    """An end is an end, and `verified` alone can still be superseded."""
    assert set(vectors("states.json")["config_finals"]) == CONFIG_FINALS
    assert all(not CONFIG_STATES[final] for final in CONFIG_FINALS)
    assert CONFIG_STATES["verified"] == {"superseded"}


def test_no_config_goes_round_in_circles() -> None:
    """Following any steps, a revision comes to an end: no state can be reached from itself."""
    for state in CONFIG_STATES:
        reached, fresh = set[str](), set(CONFIG_STATES[state])
        while fresh:
            reached |= fresh
            fresh = set().union(*(CONFIG_STATES[s] for s in fresh)) - reached
        assert state not in reached


def test_lifecycle_is_described_as_it_is() -> None:
    """The table in the description of LIFECYCLE is the table itself."""
    rows: dict[str, set[str]] = {}
    for line in described("LIFECYCLE").splitlines()[3:]:
        if line.strip() and line.startswith("    "):
            state, exits = line[4:24].strip(), set(line[60:].split()) - {"-"}
            rows.setdefault(state or list(rows)[-1], set()).update(exits)
    assert rows == dict(LIFECYCLE)


def test_config_states_are_described() -> None:
    """Each state of a revision has its line in the description, in the order of the table."""
    lines = [line for line in described("CONFIG_STATES").splitlines() if line[:4] == "    "]
    named = [line[4:17].strip() for line in lines[1:]]
    assert [name for name in named if name] == list(CONFIG_STATES)


@pytest.mark.vectors("states.json", "types")
def test_node_type(case: list[str]) -> None:
    """What nodes say about their type is mapped as the vectors say."""
    assert node_type(case[0]) == case[1]


def test_types_are_the_nine(vectors: Any) -> None:
    """There are no other types than those of A2, and every alias means one of them."""
    assert list(NODE_TYPES) == vectors("states.json")["node_types"]
    assert set(TYPE_ALIASES.values()) <= set(NODE_TYPES) - {"unknown"}
    assert not set(TYPE_ALIASES) & set(NODE_TYPES)
    assert node_type(None) == "unknown"


@given(st.text(max_size=30))
def test_node_type_of_anything(text: str) -> None:
    """Whatever a node says, its type is one of the nine."""
    assert node_type(text) in NODE_TYPES


def test_tables_cannot_be_changed() -> None:
    """A plugin cannot add a step for everybody else."""
    for table in TABLES.values():
        with pytest.raises(TypeError):
            table["ACTIVE"] = frozenset()  # type: ignore[index]  # that is the point
