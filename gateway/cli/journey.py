"""The simulated nodes of `gateway run --simulate` on their way: started, registered, configured.

Rules of this file. Everything is read from the store and asked through `commands.db`, as any other
command does; what it sees becomes lines in `story.py`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from gateway.cli import output, story
from gateway.cli.fleet import Broker, Fleet
from gateway.cli.nodes import fleet
from gateway.cli.operator import Operator

if TYPE_CHECKING:
    from gateway.app import Gateway

_STEPS_SQL = (
    "SELECT node_id, queued_at, sent_at, received_at, applied_at, verified_at, final_at, reason "
    "FROM config_revisions r WHERE revision = "
    "(SELECT revision FROM config_desired d WHERE d.node_id = r.node_id)"
)


class Journey:
    """The simulated nodes on their way: started, registered, configured."""

    def __init__(self, operator: Operator, gateway: Gateway, number: int, broker: Broker) -> None:
        self._operator = operator
        self._gateway = gateway
        self._pushed: dict[int, str] = {}
        self._refused: dict[int, str] = {}
        self._newest = self._journal_end()
        self._hellos = self._beats = 0
        self._heard: set[str] = set()
        self.rows: list[dict[str, Any]] = rows_of(operator)
        registered = (r for r in self.rows if r["lifecycle_state"] in story.REGISTERED)
        self._received = {row["id"] for row in registered}
        self.fleet = Fleet(operator.state_dir / "nodes", number, broker)
        self.fleet.start()
        hardware = {row["hardware_id"] for row in self.rows}
        self._known = sum(name in hardware for name in self.fleet.hardware_ids)

    @property
    def title(self) -> str:
        """How many nodes of what kind, and how many of them an earlier run has registered."""
        known = f", {self._known} of them known from before" if self._known else ""
        return self.fleet.title + known

    def tick(self) -> list[str]:
        """Look, push what is missing; returns what is new, as lines."""
        now = time.time()
        before, self.rows = self.rows, rows_of(self._operator)
        for row in self.rows:
            row["first_receipt_waits"] = row["receipt_waits"] and row["id"] not in self._received
            if row["lifecycle_state"] in story.REGISTERED and not row["receipt_waits"]:
                self._received.add(row["id"])
        lines = story.between(before, self.rows, now)
        lines += [story.line("node", text, now) for text in self.fleet.tend(time.monotonic())]
        mine = set(self.fleet.hardware_ids)
        for row in self.rows:
            if row["hardware_id"] in mine and row["lifecycle_state"] in story.REGISTERED:
                self._push(row)
        self._count()
        return lines

    def _push(self, row: dict[str, Any]) -> None:
        """Push a first config to a node that has none; notice where that was refused."""
        asked = self._pushed.get(row["id"])
        if asked is None:
            if row["config_revision"] is None:
                self._pushed[row["id"]] = self._operator.hand(
                    "config.push", row["uid"], document=first_config(row["type"]), author="simulate"
                )
            else:
                self._pushed[row["id"]] = ""
        elif asked and row["id"] not in self._refused:
            answer = self._operator.answer(asked)
            if answer is not None and not answer.ok:
                self._refused[row["id"]] = output.dumps(answer.result, indent=None)

    def lacks(self) -> dict[str, str]:
        """Name -> what it still lacks, for each simulated node that is not done."""
        by_hardware = {row["hardware_id"]: row for row in self.rows}
        found = {}
        for hardware_id in self.fleet.hardware_ids:
            row = by_hardware.get(hardware_id)
            # what the store knows from an earlier run is no proof that the node is there now
            lack = story.missing(row if hardware_id in self._heard else None)
            if lack and row is not None and row["id"] in self._refused:
                lack = f"its config was not queued: {self._refused[row['id']]}"
            elif lack and self.fleet.restarts(hardware_id):
                last = self.fleet.last_words(self._operator.state_dir / "nodes" / hardware_id)
                lack += f"; it keeps ending: {last}"
            if lack:
                found[hardware_id] = lack
        return found

    def foot(self) -> str:
        """The line of counters."""
        facts = self._gateway.facts()
        waits = sum(row["receipt_waits"] for row in self.rows)
        counts = {
            "hellos": self._hellos,
            "receipts": max(0, self._hellos - waits),
            "beats": self._beats,
            "refused": facts["counts"].get("refused", 0),
            "waiting": facts["waiting"],
        }
        return story.tally(self.rows, counts)

    def _journal_end(self) -> int:
        return int(self._operator.read("SELECT coalesce(max(id), 0) AS n FROM journal")[0]["n"])

    def _count(self) -> None:
        end = self._journal_end()
        for row in self._operator.read(
            "SELECT lane, kind, sum(copies) AS n FROM journal WHERE id > ? AND id <= ? "
            "AND kind IN ('node_hello', 'heartbeat') GROUP BY lane, kind",
            self._newest,
            end,
        ):
            self._heard.add(row["lane"])
            if row["kind"] == "heartbeat":
                self._beats += row["n"]
            else:
                self._hellos += row["n"]
        self._newest = end


def rows_of(operator: Operator) -> list[dict[str, Any]]:
    """The fleet with the steps of each node's desired config, and whether a receipt waits."""
    rows = fleet(operator)
    steps: dict[int, dict[str, Any]] = {}
    if operator.has("config_revisions", "config_desired"):
        steps = {row.pop("node_id"): row for row in operator.read(_STEPS_SQL)}
    waits = {
        row["node_id"]
        for row in operator.read("SELECT node_id FROM outbox WHERE topic LIKE '%/hello_ack'")
    }
    return [
        {**row, **steps.get(row["id"], {}), "receipt_waits": row["id"] in waits} for row in rows
    ]


_SENSORS = {
    "ph": [("ph_sensor", "PH", "pH")],
    "ec": [("ec_sensor", "EC", "mS/cm")],
    "climate": [("air_temp", "TEMPERATURE", "C"), ("air_rh", "HUMIDITY", "%")],
    "light": [("light_level", "LIGHT_INTENSITY", "lx")],
    "irrig": [("flow", "FLOW_RATE", "l/min")],
    "water_sensor": [("water_level", "WATER_LEVEL", "cm")],
}


def first_config(node_type: str) -> dict[str, Any]:
    """The document for a simulated node; the config plugin fills in who and where it is."""
    channels: list[dict[str, Any]] = [
        {"name": name, "type": "SENSOR", "metric": metric, "unit": unit, "poll_interval_ms": 3000}
        for name, metric, unit in _SENSORS.get(node_type, [])
    ]
    if node_type in ("relay", "recirculation"):
        channels.append(
            {"name": "relay_1", "type": "ACTUATOR", "actuator_type": "RELAY", "relay_type": "NO"}
        )
    channels.append({"name": "system", "type": "ACTUATOR", "actuator_type": "SYSTEM"})
    return {"version": 3, "type": node_type, "channels": channels, "mqtt": {"configured": True}}
