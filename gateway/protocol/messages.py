"""What nodes say, as types (PROTOCOL parts A and B). Frozen; no I/O and no clock in this file.

Decoding keeps to one rule: a field that is there must have its type, a key that we do not know is
ignored (field firmware sends more than its schema says). Where a message came from and when is its
`source`, which is set by the gateway after decoding and so can never come from a payload.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeAlias

import msgspec

Class: TypeAlias = Literal["journal", "latest"]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where and when an event came from."""

    journal_id: int = 0
    """The journal row, 0 for an event that the gateway made itself."""
    topic: str = ""
    """The topic as received, in the spelling received."""
    gh: str = ""
    zone: str = ""
    name: str = ""
    """The node segment of the topic, lower case: a uid, or on temp topics the hardware_id."""
    channel: str = ""
    payload: bytes = b""
    received_at: float = 0.0
    """Wall clock at intake, seconds since 1970."""
    observed_at: float = 0.0
    """Observed clock at intake (DESIGN rule 11), seconds; compare it with `Host.observed()` only."""
    live: bool = True
    """False for backlog and retained messages: state from the past, no proof of life."""
    retained: bool = False
    replayed: bool = False
    """True while dead letters are being replayed."""
    count: int = 1
    """How many adjacent messages were folded into this one (class `latest`)."""
    first_seq: int = 0
    """The first `seq` of the folded messages, 0 when the node sends none."""


NOWHERE = Source()


class Event(msgspec.Struct, kw_only=True):
    """One message of a node, or one command of the operator, as hooks receive it.

    Subclasses say their `kind` (the last level of the topic), whether they are `per_channel`
    (6 levels instead of 5) and their durability `durability`. Not frozen only because the source
    is planted after decoding; treat it as frozen.
    """

    kind: ClassVar[str] = ""
    per_channel: ClassVar[bool] = False
    durability: ClassVar[Class] = "journal"

    boot_id: str | None = None
    seq: int | None = None
    trace_id: str | None = None
    # the name cannot be met by accident, and whatever a payload puts here is overwritten
    source: Any = msgspec.field(name="@source", default=NOWHERE)

    @property
    def document(self) -> dict[str, Any]:
        """The whole payload as a dictionary ({} where it is not JSON)."""
        try:
            value = msgspec.json.decode(self.source.payload)
        except msgspec.DecodeError:
            return {}
        return value if isinstance(value, dict) else {}


class NodeHello(Event, kw_only=True):
    """A node says who it is (A2, B2). `node_type` is None when the node did not say."""

    kind: ClassVar[str] = "node_hello"

    hardware_id: str
    message_type: str = "node_hello"
    node_type: str | None = None
    fw_version: str | None = None
    hardware_revision: str | None = None
    capabilities: list[str] | None = None
    provisioning_meta: dict[str, Any] | None = None
    protocol: int = 0
    config_revision: int = 0
    config_sha256: str = ""
    reset_cause: str | None = None
    board: str | None = None
    mpy: str | None = None
    free_heap: int | None = None
    safe_mode: bool = False
    claim: str | None = None
    sig: str | None = None

    def signed_parts(self, _hardware_id: str = "") -> tuple[object, ...]:
        """What `sig` is over (B2)."""
        return (
            self.kind,
            self.hardware_id,
            self.boot_id or "",
            self.seq or 0,
            self.config_revision,
            self.config_sha256,
        )

    @property
    def spelled(self) -> str:
        """The hardware_id in the spelling received: topics to the node are published with it."""
        said = self.document.get("hardware_id")
        same = isinstance(said, str) and said.lower() == self.hardware_id
        return said if same and said is not None else self.hardware_id

    @property
    def wanted_uid(self) -> str | None:
        """The uid that the node asks for in `provisioning_meta.node_uid`, None if it asks for none."""
        wish = (self.provisioning_meta or {}).get("node_uid")
        return wish.strip().lower() if isinstance(wish, str) and wish.strip() else None

    @property
    def node_name(self) -> str | None:
        """The human name in `provisioning_meta.node_name`, if any."""
        name = (self.provisioning_meta or {}).get("node_name")
        return name if isinstance(name, str) and name else None


class NodeHeartbeat(Event, kw_only=True):
    """A beat (A4, B4); `seq` counts beats within the boot."""

    kind: ClassVar[str] = "heartbeat"
    durability: ClassVar[Class] = "latest"

    uptime: float | None = None
    free_heap: int | None = None
    free_heap_bytes: int | None = None
    rssi: int | None = None
    fw_version: str | None = None
    config_revision: int | None = None
    interval_s: float | None = None
    min_free_heap: int | None = None
    lost: int | None = None

    @property
    def heap(self) -> int | None:
        """Free heap in bytes, under either of the two names that firmware uses."""
        return self.free_heap if self.free_heap is not None else self.free_heap_bytes


class ConfigReported(Event, kw_only=True):
    """A node shows its config (A6.3, B6). `state` is None in a foreign node's plain report."""

    kind: ClassVar[str] = "config_report"

    state: str | None = None
    revision: int | None = None
    sha256: str | None = None
    reason: str | None = None
    path: str | None = None
    node_id: str | None = None
    sig: str | None = None

    def signed_parts(self, hardware_id: str) -> tuple[object, ...]:
        """What `sig` is over (B6); the report itself does not say whose it is."""
        return (
            self.kind,
            hardware_id,
            self.boot_id or "",
            self.seq or 0,
            self.revision or 0,
            self.sha256 or "",
        )


class Message(Event, kw_only=True):
    """The base of all other kinds; plugins subclass it and list the subclass in their manifest."""


class TimeRequest(Message, kw_only=True):
    """A node asks for the time (A3); the topic names no node."""

    kind: ClassVar[str] = "time_request"
    uptime: float | None = None


class Status(Message, kw_only=True):
    """ONLINE, OFFLINE, RESTARTING, ASLEEP for `sleep_s`; or `state: safe_mode` without a status (A4)."""

    kind: ClassVar[str] = "status"
    status: str | None = None
    state: str | None = None
    ts: float | None = None
    sleep_s: float | None = None


class LastWill(Message, kw_only=True):
    """The will, published by the broker: plain `offline` or JSON with a boot_id (A4, B4)."""

    kind: ClassVar[str] = "lwt"
    status: str = "OFFLINE"


class Telemetry(Message, kw_only=True):
    """One measured value (A8); `ts` in seconds."""

    kind: ClassVar[str] = "telemetry"
    per_channel: ClassVar[bool] = True
    metric_type: str | None = None
    value: float | int | bool | str | None = None
    ts: float | None = None
    unit: str | None = None


class ChannelEvent(Message, kw_only=True):
    """Something happened on a channel (A8); `ts` in seconds."""

    kind: ClassVar[str] = "event"
    per_channel: ClassVar[bool] = True
    event_code: str | None = None
    ts: float | None = None


class CommandResponse(Message, kw_only=True):
    """The answer to a command (A7.1); `ts` in milliseconds."""

    kind: ClassVar[str] = "command_response"
    per_channel: ClassVar[bool] = True
    cmd_id: str = ""
    status: str = ""
    ts: float | None = None
    error_code: str | None = None
    error_message: str | None = None
    details: Any = None


class NodeError(Message, kw_only=True):
    """A node reports an error (A8); `ts` in milliseconds."""

    kind: ClassVar[str] = "error"
    level: str | None = None
    component: str | None = None
    error_code: str | None = None
    message: str | None = None
    ts: float | None = None
    details: Any = None


class Diagnostics(Message, kw_only=True):
    """An engineering snapshot (A8), nested and free in form: read it with `.document`."""

    kind: ClassVar[str] = "diagnostics"
    ts: float | None = None


class Command(Event, kw_only=True):
    """The base of what an operator asks a plugin to do; never accepted from the broker.

    A plugin lists its subclasses in `Manifest.commands`; they arrive in `node_message`, in the
    node's lane, and are answered with `tx.answer(...)`.
    """


class Wake(Event, kw_only=True):
    """One of the plugin's own jobs asked for this node's turn (see `Job`); not journaled."""

    kind: ClassVar[str] = "wake"
    job: str = ""


class RawEvent(Event, kw_only=True):
    """Any message, for handlers of `gateway.subscribe`: only its source means something."""

    kind: ClassVar[str] = "raw"


KNOWN: tuple[type[Event], ...] = (
    NodeHello,
    NodeHeartbeat,
    ConfigReported,
    TimeRequest,
    Status,
    LastWill,
    Telemetry,
    ChannelEvent,
    CommandResponse,
    NodeError,
    Diagnostics,
)
"""The kinds of PROTOCOL part A; manifests may add more."""
