"""The types that a plugin author meets. No I/O in this file; the host implements the protocols.

An author needs four things: events (`gateway.protocol.messages`), the `Node` they are about, the
`Tx` that gathers what should happen, and a `Manifest` that says what the plugin is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from gateway.protocol.messages import ConfigReported, Event, NodeHello
from gateway.protocol.signing import signed

API_VERSION = (1, 0)

Life: TypeAlias = Literal["never_seen", "seen", "online", "late", "asleep", "offline"]


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node as the registry knew it when the event's turn came.

    For an event of a node that nobody knows yet, `known` is False, `id` is already the number
    that the node will have if this event creates it, and the rest holds its defaults.
    """

    id: int
    known: bool = True
    uid: str = ""
    hardware_id: str | None = None
    name: str = ""
    type: str = "unknown"
    lifecycle_state: str = "UNPROVISIONED"
    life: Life = "never_seen"
    gh: str = ""
    zone: str = ""
    pending_gh: str = ""
    pending_zone: str = ""
    pending_at: float | None = None
    protocol: int = 0
    boot_id: str | None = None
    fw_version: str | None = None
    hardware_revision: str | None = None
    secret: str | None = None
    """The node_secret that the node has proved to have. Never show it."""
    trial_secret: str | None = None
    """The node_secret of a config that is on trial; receipts are signed with it meanwhile."""
    desired_revision: int = 0
    """The config revision that the node should run, 0 for none; its receipts carry it."""
    first_seen_at: float | None = None
    last_seen_at: float | None = None
    created_at: float = 0.0
    updated_at: float = 0.0

    @property
    def bound(self) -> bool:
        """True where the node belongs to a greenhouse and a zone."""
        return bool(self.gh and self.zone)

    @property
    def must_sign(self) -> bool:
        """True for a node of ours that has proved a secret; firmware of the field cannot sign."""
        return self.secret is not None and self.protocol >= 1

    def signed(self, event: NodeHello | ConfigReported) -> bool:
        """True where its secret, or the one on trial, signed this hello or report."""
        parts = event.signed_parts(self.hardware_id or event.source.name)
        return any(signed(event.sig, key, *parts) for key in (self.secret, self.trial_secret))

    def believes(self, event: NodeHello | ConfigReported) -> bool:
        """False where this should be signed and is not: a clone, or a board that was wiped (B9)."""
        return not self.must_sign or self.signed(event)

    def __repr__(self) -> str:
        return f"Node({self.id}, uid={self.uid!r}, hardware_id={self.hardware_id!r}, {self.life})"


NODE_FIELDS = frozenset(Node.__struct_fields__) - {"id", "known", "created_at", "updated_at"}
"""What `tx.set_node` may change."""


class NodeChange(Event, kw_only=True):
    """What changed on a node: the second round of its cause (rule 4). `before` is None when new."""

    field: str
    """`lifecycle_state`, `life` or `node` (a node that was not there before)."""
    before: str | None
    after: str
    cause: str = ""
    """The plugin that did it."""


class Tx(Protocol):
    """Gathers what one plugin wants done about one event; the host commits it as one savepoint.

    Nothing happens before the hook returns, and nothing at all if it raises or runs over its
    budget. A `tx` that is used after its hook was given up raises `RuntimeError`.
    """

    @property
    def host(self) -> Host:
        """The running gateway: its root, its mode, its clock, other nodes."""

    def write(self, sql: str, *params: object) -> None:
        """Run one statement on the plugin's own tables. Counters across nodes must be SQL
        (`set n = n + 1`): other lanes commit at the same time."""

    def read(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        """Rows of the committed state; what this `tx` gathered is not in it."""

    def set_node(self, **changes: object) -> None:
        """Change the node of this event. For an unknown node, `hardware_id=` or `uid=` creates it.

        Raises TypeError for a name that is no node field, with a suggestion.
        """

    def find_node(self, name: str) -> Node | None:
        """The node with this uid or hardware_id (any case), also one that an event just before
        this one creates in a commit still under way."""

    def publish_json(  # noqa: PLR0913 - the options of an outbox row, all optional
        self,
        topic: str,
        payload: Mapping[str, Any],
        *,
        qos: int = 1,
        retain: bool = False,
        expires: float | None = None,
        replace: str | None = None,
        stamp: str | Sequence[str] | None = None,
        sign: Sequence[str] | None = None,
    ) -> None:
        """Queue a message; it leaves after the commit and is followed until the broker has it.

        `expires`: seconds after which it is pointless. `replace`: a newer message with this key
        replaces an older one that has not left yet. `stamp`: the field, or fields, that receive the
        wall clock's seconds when the message leaves. `sign`: `(prefix, field, ...)`; `sig` becomes the
        HMAC-SHA256 of these, joined by new lines, under the node's `trial_secret`, else its
        `secret`, and stays away where there is none.
        Raises DataError with the path of the value that JSON cannot carry.
        """

    def clear_retained(self, topic: str) -> None:
        """Queue an empty retained message: the broker forgets what it keeps on this topic."""

    def answer(self, result: Mapping[str, Any], *, ok: bool = True) -> None:
        """The result of a `Command`, for the person who waits for it."""


class Host(Protocol):
    """The running gateway, as `startup`, jobs and questions see it. Safe from any thread."""

    @property
    def root(self) -> str:
        """`[mqtt] root`."""

    @property
    def registration(self) -> Literal["open", "approve", "claim"]:
        """`[security] registration`."""

    @property
    def claim_key(self) -> str:
        """`[security] claim_key`, "" when none is set."""

    @property
    def connected(self) -> bool:
        """True while both sessions with the broker are up."""

    def observed(self) -> float:
        """The observed clock (rule 11), seconds: it stands still while we hear nothing."""

    def node(self, key: int | str) -> Node | None:
        """A node by id, uid or hardware_id."""

    def nodes(self) -> list[Node]:
        """All nodes, newest first."""

    def read(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        """Rows of the committed state."""

    async def problems(self, document: Mapping[str, Any], node: Node) -> list[Problem]:
        """What every plugin's `validate_config` has against this document."""


class Problem(msgspec.Struct, frozen=True):
    """Something wrong in a document: `path` like `channels[1].relay_type`."""

    path: str
    message: str


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of `health`."""

    name: str
    ok: bool
    detail: str = ""
    hint: str = ""


class Turn(msgspec.Struct, frozen=True):
    """A job's wish: call this plugin's `node_message` with a `Wake` in this node's lane."""

    node_id: int


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A timer: `run(host, config)` is called every `every` seconds of real time, never twice at
    once, under the budget of hooks. What it returns are the nodes that should get a turn."""

    name: str
    every: float
    run: Callable[[Host, Any], Iterable[Turn] | Awaitable[Iterable[Turn]] | None]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a plugin is; declarations only, read before any of its hooks runs."""

    version: str = "0"
    requires_api: str = ">=1.0,<2"
    config: type[Any] | None = None
    """A msgspec Struct; `[plugins.<name>]` is decoded into it and handed to each hook."""
    messages: tuple[type[Event], ...] = ()
    """Kinds that arrive in `node_message`: our own `Message` types and the plugin's subclasses."""
    commands: tuple[type[Event], ...] = ()
    """Operator commands that arrive in `node_message`."""
    migrations: str = ""
    """A folder beside the module with numbered `.sql` files; tables start with the plugin's name."""
    jobs: tuple[Job, ...] = ()
    eager: bool = False
    """True promises that the plugin's hooks never wait and never block: the host then drives
    `async def` hooks without a task and calls `def` hooks on the loop's own thread, which is
    several times faster."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command: `done` False when nobody answered in time (it stays queued)."""

    ok: bool
    done: bool = True
    result: dict[str, Any] = {}


class Operator(Protocol):
    """What a plugin's own command finds in `click.Context.obj`: the store to read, the gateway to
    ask, and the manners of output."""

    @property
    def running(self) -> bool:
        """True while a gateway holds the state folder."""

    def read(self, sql: str, *params: object) -> list[dict[str, Any]]:
        """Rows of the store, read-only, as dictionaries. Raises StoreError where there is none."""

    def node(self, name: str) -> dict[str, Any]:
        """The row of `nodes` for a uid or hardware_id. Raises DataError with a suggestion."""

    def ask(self, verb: str, node: str = "", *, wait: float = 10.0, **args: object) -> Answer:
        """Hand a command to the gateway through `commands.db` and wait for its answer, seconds."""

    def show(self, schema: str, data: Any, text: Callable[[], None]) -> None:
        """Print `data` with its schema tag where `--json` was given, else call `text`."""

    def table(self, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table on a terminal, tab-separated lines elsewhere."""

    def say(self, line: str) -> None:
        """Talk, on stderr."""
