"""What is wrong with a plugin's hooks is told before any of them is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Shelf


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "@hookimpl\ndef node_helo(event): ...",
            'node_helo is no hook; did you mean "node_hello"?',
        ),
        (
            "@hookimpl\ndef node_hello(evnt): ...",
            "node_hello has no argument 'evnt', only event, node, tx, config; did you mean \"event\"?",
        ),
        ("@hookimpl\ndef shutdown(config): ...", "shutdown has no argument 'config', only gateway"),
        ("@hookimpl(wrapper=True)\ndef node_hello(event): yield", "node_hello is a wrapper"),
        ("@hookimpl(hookwrapper=True)\ndef node_hello(event): yield", "node_hello is a wrapper"),
        ("@hookimpl\ndef node_hello(event): yield", "node_hello yields; a hook must return"),
        ("@hookimpl\nasync def node_hello(event): yield", "node_hello yields; a hook must return"),
        ("@hookimpl\ndef node_hello(*, event): ...", "node_hello: event is keyword-only"),
        ("@hookimpl\ndef node_hello(*args): ...", "node_hello: *args receives nothing"),
        ("@hookimpl\ndef node_hello(**kw): ...", "node_hello: *kw receives nothing"),
        ("@hookimpl\nasync def manifest(): ...", "manifest must be `def`"),
        ("@hookimpl\nasync def register_commands(cli): ...", "register_commands must be `def`"),
        ("def node_hello(event): ...", "it has no hook; is @hookimpl missing?"),
        (
            "@hookimpl\ndef node_hello(): ...\n@hookimpl(specname='node_hello')\ndef other(): ...",
            "node_hello is implemented twice",
        ),
    ],
)
def test_a_wrong_hook_is_refused(error_of: Callable[[str], str], text: str, said: str) -> None:
    """Each mistake has its own sentence, which names the hook."""
    assert said in error_of(text)


def test_all_mistakes_are_told_at_once(error_of: Callable[[str], str]) -> None:
    """An author mends a plugin in one round."""
    error = error_of("@hookimpl\ndef node_helo(): ...\n@hookimpl\ndef health(gatewy): ...")
    assert "node_helo" in error
    assert "gatewy" in error


def test_a_refused_plugin_leaves_the_others_alone(shelf: Shelf) -> None:
    """A plugin with a misspelt hook is not half registered and disturbs nobody."""
    shelf.drop("aaa.py", "@hookimpl\ndef node_helo(): ...\n@hookimpl\ndef node_hello(): ...")
    shelf.drop("bbb.py", "@hookimpl\ndef node_hello(): ...")
    assert [p.name for p, _ in shelf.load().targets("node_hello")] == ["bbb"]


def test_optional_hooks_may_be_unknown(shelf: Shelf) -> None:
    """A plugin for a newer gateway marks its new hooks `optionalhook`, and loads here too."""
    shelf.drop(
        "new.py",
        "@hookimpl(optionalhook=True)\ndef node_dreams(pillow): ...\n@hookimpl\ndef node_hello(): ...",
    )
    plugin = shelf.load().plugins["new"]
    assert plugin.state == "ready", plugin.error
    assert list(plugin.hooks) == ["node_hello"]


def test_a_hook_may_have_another_name(shelf: Shelf) -> None:
    """`specname` says which hook a function is."""
    shelf.drop("named.py", "@hookimpl(specname='node_hello')\ndef greet(event): return event")
    bound = shelf.load().plugins["named"].hooks["node_hello"]
    assert bound.call("event", 2, 3, 4) == "event"


def test_an_object_may_be_a_plugin(shelf: Shelf) -> None:
    """An entry point may name an object; its methods are hooks."""
    shelf.install(
        "acme 1.0",
        "door",
        """
        class Door:
            @hookimpl
            def node_hello(self, tx, event):
                return tx, event
        door = Door()
        """,
        module="acme_object",
    )
    points = shelf.site / "acme-1.0.dist-info" / "entry_points.txt"
    points.write_text("[gateway]\ndoor = acme_object:door\n")
    plugin = shelf.load().plugins["door"]
    assert plugin.state == "ready", plugin.error
    assert plugin.hooks["node_hello"].call(1, 2, 3, 4) == (3, 1)
