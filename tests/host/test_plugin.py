"""A bound hook receives the arguments that it names, and nothing else."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.host.plugin import Bound

SPEC = ("event", "node", "tx", "config")


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "received"),
    [
        (lambda: "none", (), (), "none"),
        (lambda event, node, tx, config: (event, node, tx, config), SPEC, (), (1, 2, 3, 4)),
        (lambda tx, event: (tx, event), ("tx", "event"), (), (3, 1)),
        (lambda event, tx=None: (event, tx), ("event",), ("tx",), (1, 3)),
        (
            lambda event, mine=9, tx=None: (event, mine, tx),
            ("event",),
            ("mine", "tx"),
            (1, 9, 3),
        ),
        (lambda event, mine=9: (event, mine), ("event",), ("mine",), (1, 9)),
    ],
)
def test_a_call_passes_what_is_named(
    function: Callable[..., Any], args: tuple[str, ...], kwargs: tuple[str, ...], received: Any
) -> None:
    """In any order, with or without defaults; an own argument with a default keeps it."""
    bound = Bound("node_hello", function, SPEC, args, kwargs)
    assert bound.call(1, 2, 3, 4) == received
    assert bound.ask(event=1, node=2, tx=3, config=4) == received


def test_the_full_signature_costs_nothing() -> None:
    """A hook that names all four in the order of the hook is called directly."""

    def hook(event: Any, node: Any, tx: Any, config: Any) -> None: ...

    assert Bound("node_hello", hook, SPEC, SPEC).call is hook


def test_what_the_hook_does_not_have_is_not_passed() -> None:
    """`ask` may offer more than an implementation wants."""
    bound = Bound("startup", lambda gateway: gateway, ("gateway", "config"), ("gateway",))
    assert bound.ask(gateway="g", config="c") == "g"


def test_async_is_seen_through_a_decorator() -> None:
    """A decorated `async def` is still awaited, also where the decorator itself is plain."""

    async def hook() -> None: ...

    @functools.wraps(hook)
    def wrapped() -> Awaitable[None]:
        return hook()

    assert Bound("node_hello", hook, SPEC, ()).is_async
    assert Bound("node_hello", wrapped, SPEC, ()).is_async
    assert not Bound("node_hello", lambda: None, SPEC, ()).is_async
