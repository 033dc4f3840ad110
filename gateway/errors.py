"""The exception tree. Each error a person may meet says what, why and what to type next.

    GatewayError            1   something failed; the base of all of them
     +- SettingsError      78   gateway.toml, drop-ins, environment or flags are wrong
     +- BrokerError        69   the broker cannot be reached or broke its word
     |   +- AuthError      77   the broker refused name or password
     +- StoreError         74   the database cannot be opened, read or written
     |   +- StoreTroubleError   the disk does not answer: it is tried again, and nobody's failure
     +- DataError          65   a document or payload that was given to us is refused
     +- BoardError         69   a board on USB is not there, or does not answer as it should
     +- BusyError          75   not done in time, or somebody else is at it
     +- PluginError        70   a plugin cannot be loaded or broke its contract
    Refusal                     a message from the wire that is not taken (a word of PROTOCOL B8)

The numbers are the exit codes of the command line (sysexits, because `systemctl status` names them).
"""

from __future__ import annotations


class GatewayError(Exception):
    """Something failed in a way that a person can act on: `what`, `why` and `hint` are sentences."""

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint


class SettingsError(GatewayError):
    """The settings are wrong; `problems` lists every one of them (`settings.explain.Problem`).

    `good_part` is what is left without them (`settings.model.Settings`), for a look at the rest.
    """

    exit_code = 78

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        hint: str = "",
        problems: tuple[object, ...] = (),
        good_part: object = None,
    ) -> None:
        super().__init__(what, why=why, hint=hint)
        self.problems = problems
        self.good_part = good_part


class BrokerError(GatewayError):
    """The broker cannot be reached, or does not do what MQTT says."""

    exit_code = 69


class AuthError(BrokerError):
    """The broker refused our name or password."""

    exit_code = 77


class StoreError(GatewayError):
    """The database cannot be opened, read or written."""

    exit_code = 74


class StoreTroubleError(StoreError):
    """The disk, or a neighbour, is in the way: what was asked was right, and is asked again."""


class DataError(GatewayError):
    """A document or payload that was handed to us is refused."""

    exit_code = 65


class BoardError(GatewayError):
    """A board on USB is not there, or does not answer as it should."""

    exit_code = 69


class BusyError(GatewayError):
    """Not done in time, or another process holds what we need."""

    exit_code = 75


class PluginError(GatewayError):
    """A plugin cannot be loaded or breaks the contract; `plugin` names the guilty one."""

    exit_code = 70

    def __init__(self, plugin: str, what: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(what, why=why, hint=hint)
        self.plugin = plugin


REFUSALS = (
    "topic",
    "too_big",
    "not_utf8",
    "not_json",
    "depth",
    "schema",
    "signature",
    "revision",
    "hash",
    "flood",
)
"""The words of PROTOCOL B8, in the order in which a message is looked at."""


class Refusal(Exception):
    """A message from the wire that is not taken: `word` is one of `REFUSALS`, `detail` a sentence."""

    def __init__(self, word: str, detail: str) -> None:
        super().__init__(f"{word}: {detail}")
        self.word = word
        self.detail = detail
