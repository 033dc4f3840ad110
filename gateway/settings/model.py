"""What may be set, with its defaults. `gateway.toml` in the repository says the same, with comments.

Durations are seconds, sizes are bytes; in TOML they may be written "100ms", "30s", "5m", "64KiB".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

Duration: TypeAlias = Annotated[float, "duration"]
Size: TypeAlias = Annotated[int, "size"]
Secret: TypeAlias = Annotated[str, "secret"]
Port: TypeAlias = Annotated[int, "port"]


class Mqtt(msgspec.Struct, frozen=True, kw_only=True):
    """`[mqtt]`: the broker. An empty `host` means that none is configured."""

    host: str = ""
    port: Port = 1883
    username: str = ""
    password: Secret = ""
    tls: bool = False
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_hostname_check: bool = True
    root: str = "hydro"
    version: Literal["3.1.1", "5"] = "3.1.1"
    keepalive: Duration = 60.0
    client_id: str = ""


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """`[broker]`: whether the gateway starts one of its own, and on which port."""

    mode: Literal["auto", "embedded", "external"] = "auto"
    port: Port = 1883


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """`[store]`: where the journal and the registry live, how long what is done is kept, and for how
    long beats of nodes that are online `linger` for others to share their commit."""

    url: str = ""
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    linger: Duration = 3.0
    prune_done_after: Duration = 86_400.0
    prune_done_rows: int = 200_000
    refused_keep: int = 1000


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """`[backup]`: copies that the gateway makes by itself, daily and before a migration.

    `every` 0 makes none by the clock; `folder` empty is `backups` in the state folder; `keep` counts
    each of the two kinds for itself.
    """

    every: Duration = 86_400.0
    keep: int = 7
    folder: str = ""


class Plugins(msgspec.Struct, frozen=True, kw_only=True):
    """`[plugins]`; each plugin's own table is in `sections`, and is checked by the plugin."""

    dirs: list[str] = []
    disabled: list[str] = []
    sections: dict[str, Any] = {}


class Security(msgspec.Struct, frozen=True, kw_only=True):
    """`[security]`: who may become a node."""

    registration: Literal["open", "approve", "claim"] = "open"
    claim_key: Secret = ""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """`[limits]`: what is taken from the wire and held in memory."""

    payload: Size = 65_536
    json_depth: int = 16
    window: int = 5000
    lane_window: int = 32
    flood_rate: float = 0.0


class Handlers(msgspec.Struct, frozen=True, kw_only=True):
    """`[handlers]`: how long a plugin may take, and how often it is tried."""

    gather: Duration = 0.1
    budget: Duration = 10.0
    attempts: int = 5
    backoff: Duration = 1.0
    backoff_max: Duration = 60.0
    breaker_failures: int = 5


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything."""

    schema_version: Literal[1] = 1
    state_dir: str = "~/.local/state/gateway"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    shutdown_grace: Duration = 10.0
    mqtt: Mqtt = Mqtt()
    broker: Broker = Broker()
    store: Store = Store()
    backup: Backup = Backup()
    plugins: Plugins = Plugins()
    security: Security = Security()
    limits: Limits = Limits()
    handlers: Handlers = Handlers()


TABLES: dict[str, type[msgspec.Struct]] = {
    "mqtt": Mqtt,
    "broker": Broker,
    "store": Store,
    "backup": Backup,
    "plugins": Plugins,
    "security": Security,
    "limits": Limits,
    "handlers": Handlers,
}
"""The tables of gateway.toml."""
