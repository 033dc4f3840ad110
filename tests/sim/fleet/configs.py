"""Registry and twin: hellos, reports and documents, as the plugins hello and config decide."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gateway_config import twin as twins
from gateway_config.actions import Send
from gateway_config.sending import envelope, secret_in, sha256_of
from gateway_config.twin import Said
from gateway_hello.registry import Facts, admit, uids

from gateway import sign, signed
from tests.sim.fleet.record import Record

if TYPE_CHECKING:
    from tests.sim.fleet.desk import Desk


class Configs:
    """Who is registered, and what each node is to run."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._names: set[str] = set()

    def hello(self, record: Record, message: dict[str, Any]) -> None:
        """A node says who it is: the registry, the twin, a receipt."""
        name, boot, seq = message["hardware_id"], message["boot_id"], message["seq"]
        revision, sha = message["config_revision"], message["config_sha256"]
        parts = ("node_hello", name, boot, seq, revision, sha)
        key = self._key(record, message.get("sig"), parts)
        verdict = admit(
            Facts(
                registration="open",
                known=bool(record.uid),
                lifecycle_state="REGISTERED_BACKEND",
                admission="accepted",
                must_sign=record.secret is not None,
                signed=bool(key),
                claimed=False,
                offline=record.pulse.life == "offline",
                reflashed=False,
            )
        )
        if not record.uid:
            record.uid = next(u for u in uids(name, "ph", None) if u not in self._names)
            self._names.add(record.uid)
        if verdict.reason:
            self.desk.wrong.append(f"{name} was refused: {verdict.reason}")
        record.boot_id = boot
        said = Said(kind="hello", revision=revision, sha256=sha, boot_id=boot, seq=seq)
        if key:
            self._believe(record, key)
        self._take(record, twins.hello(record.twin, said, self.desk.wall()))
        self._receipt(record, message)

    def _receipt(self, record: Record, hello: dict[str, Any]) -> None:
        desired = record.twin.desired
        receipt = {
            "hardware_id": hello["hardware_id"],
            "boot_id": hello["boot_id"],
            "seq": hello["seq"],
            "unix_ts": int(self.desk.wall()),
            "config_revision": desired.revision if desired else 0,
        }
        key = record.trial_secret or record.secret
        if key:
            receipt["sig"] = sign(key, "hello_ack", *receipt.values())
        self.desk.publish(record, "hello_ack", {**receipt, "uid": record.uid})

    def report(self, record: Record, message: dict[str, Any]) -> None:
        """A node says how far a document came."""
        revision, sha = message.get("revision") or 0, message.get("sha256") or ""
        boot, seq, state = message["boot_id"], message["seq"], message.get("state") or ""
        parts = ("config_report", record.board.name, boot, seq, revision, sha)
        key = self._key(record, message.get("sig"), parts)
        if key is None:
            self.desk.events["not_believed"] += 1
            return
        self._believe(record, key)
        proved = bool(key) and key == secret_in(record.text)
        said = Said(
            kind="report", revision=revision, sha256=sha, state=state, boot_id=boot, seq=seq,
            proved=proved,
        )  # fmt: skip
        step = twins.report(record.twin, said, self.desk.wall())
        self._take(record, step)
        desired = record.twin.desired
        stale = any(isinstance(a, twins.Ignore) for a in step[1])
        if (
            not stale
            and state == "verified"
            and key
            and key == (record.trial_secret or record.secret)
        ):
            record.secret, record.trial_secret = key, None
        if desired and desired.state == "verified":
            pair = desired.revision, desired.sha256
            if pair not in record.board.proved:
                self.desk.wrong.append(f"{record.board.name} never verified v{desired.revision}")

    def _key(self, record: Record, sig: str | None, parts: tuple[object, ...]) -> str | None:
        for key in (record.secret, record.trial_secret, secret_in(record.text)):
            if key and signed(sig, key, *parts):
                return key
        return None if record.secret else ""

    def _believe(self, record: Record, key: str) -> None:
        if key and key != record.secret:
            record.trial_secret = key

    def _take(self, record: Record, step: twins.Step) -> None:
        record.twin = step[0]
        desired = record.twin.desired
        for action in step[1]:
            if isinstance(action, Send) and desired is not None:
                self._send(record, desired.revision)
        if desired is not None and desired.next_at is not None:
            left = desired.next_at - self.desk.wall() + 0.01
            self.desk.broker.later_by(left, self._tick, record, desired.next_at)

    def _send(self, record: Record, revision: int) -> None:
        # as key_for of `sending.py`: the secret that it has, else what is inside the document
        secret = secret_in(record.text)
        key = ("secret", record.secret) if record.secret else ("open", secret)
        made = envelope(record.board.name, revision, record.text, key)
        self.desk.publish(record, "config", made)
        record.trial_secret = secret if secret != record.secret else None

    def _tick(self, record: Record, planned: float) -> None:
        desired = record.twin.desired
        if desired is None or desired.next_at != planned:
            return
        if self.desk.wire is None:
            self.desk.broker.later_by(5.0, self._tick, record, planned)
            return
        offline = record.pulse.life == "offline"
        self._take(record, twins.tick(record.twin, self.desk.wall(), offline=offline))

    def push(self, record: Record, *, good: bool) -> None:
        """The operator wants another document."""
        if not record.uid:
            return
        document = {
            "node_id": record.uid, "version": 3, "type": "ph",
            "gh_uid": "gh-temp", "zone_uid": "zn-temp", "wifi": {"configured": True},
            "mqtt": {"configured": True} if good else {"host": "nowhere", "port": 1883},
            "channels": [{"name": f"c{self.desk.chance.randrange(1000)}", "type": "SENSOR"}],
            "node_secret": record.secret or secret_in(record.text) or self.desk.chance.randbytes(32).hex(),
        }  # fmt: skip
        record.text = json.dumps(document)
        self._take(record, twins.push(record.twin, sha256_of(record.text), self.desk.wall()))
