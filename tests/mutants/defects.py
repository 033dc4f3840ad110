"""Seeded defects in the way of a message and of a config, each with the test that must notice it.

They are the mistakes that this kind of software really makes (acknowledge early, forget a retry,
take a number without its boot). `python tests/mutants` runs them; `test_defects.py` keeps the list
from rotting.
"""

from __future__ import annotations

from typing import NamedTuple


class Defect(NamedTuple):
    """`old` stands exactly once in `file`."""

    name: str
    file: str
    old: str
    new: str
    test: str

    def applied(self, text: str) -> str:
        """The file with the defect in it."""
        return text.replace(self.old, self.new)


HEART = "plugins/heartbeat/test_heartbeat.py"
LIVENESS = "plugins/heartbeat/test_liveness.py"
HELLO = "plugins/hello/test_hello.py"
TWIN = "plugins/config/test_twin.py"

DEFECTS = (
    # -- the gateway's way of a message ------------------------------------------------------
    Defect(
        "puback-before-commit",
        "gateway/flow/intake.py",
        "        self._busy = True\n",
        "        self._busy = True\n        self._ack(tokens)\n        tokens = []\n",
        "tests/flow/test_intake.py::test_what_is_acknowledged_is_in_the_journal",
    ),
    Defect(
        "receipt-before-commit",
        "gateway/flow/commit.py",
        "lambda c: apply_all(c, units, now))",
        "lambda c: [(unit.apply(c, now), self._loop.call_soon_threadsafe("
        "self._parts.outbox.push, unit.parcels))[0] for unit in units])",
        "tests/flow/test_intake.py::test_a_receipt_means_that_the_node_is_on_disk",
    ),
    Defect(
        "refused-not-acknowledged",
        "gateway/flow/intake.py",
        "                self._refuse(message, refusal, now)\n",
        "                self._refuse(message, refusal, now)\n                self._tokens.pop()\n",
        "tests/flow/test_intake.py::test_what_is_refused_is_acknowledged_too",
    ),
    Defect(
        "dedupe-without-boot-id",
        "gateway/flow/intake.py",
        "|{event.boot_id}|{event.seq}",
        "|{event.seq}",
        "tests/flow/test_intake.py::test_a_message_is_the_same_by_boot_and_number",
    ),
    Defect(
        "old-beat-without-boot-id",
        "gateway/flow/recent.py",
        "        if boot == event.boot_id and event.seq <= seq:",
        "        if event.seq <= seq:",
        "tests/flow/test_intake.py::test_a_beat_of_the_next_boot_is_no_old_one",
    ),
    Defect(
        "failed-commit-is-success",
        "gateway/store/writer.py",
        "            except (Error, OSError, MemoryError) as error:\n                self._trouble(error)\n",
        "            except (Error, OSError, MemoryError):\n                return [None] * len(group)\n",
        "tests/store/test_writer.py::test_a_commit_that_failed_is_taken_again_on_a_new_connection",
    ),
    Defect(
        "failed-commit-keeps-its-connection",
        "gateway/store/writer.py",
        "                self._drop_connection()\n",
        "",
        "tests/store/test_writer.py::test_a_commit_that_failed_is_taken_again_on_a_new_connection",
    ),
    Defect(
        "synchronous-off",
        "gateway/store/sqlite.py",
        '            connection.execute(f"PRAGMA synchronous={synchronous}").fetchall()\n'
        '            _expect(connection, "PRAGMA synchronous", LEVELS[synchronous])\n',
        '            connection.execute("PRAGMA synchronous=OFF").fetchall()\n',
        "tests/store/test_sqlite.py::test_the_writer_is_durable",
    ),
    Defect(
        "folder-not-synced",
        "gateway/store/sqlite.py",
        "        sync_folder(path.parent)\n",
        "",
        "tests/store/test_sqlite.py::test_the_name_of_a_new_database_is_synced",
    ),
    Defect(
        "numbers-given-out-again",
        "gateway/store/journal.py",
        "        (newest - (LEAST if least is None else least), before,",
        "        (newest, before,",
        "tests/store/test_journal.py::test_pruning_never_makes_a_number_free_again",
    ),
    Defect(
        "prune-what-is-not-done",
        "gateway/store/journal.py",
        "SELECT id FROM journal WHERE state = 1 ",
        "SELECT id FROM journal WHERE state <> 9 ",
        "tests/store/test_journal.py::test_pruning_keeps_what_is_not_done",
    ),
    Defect(
        "journal-without-checksum",
        "gateway/store/journal.py",
        "        return sound and self.crc == checksum(self.topic, self.payload)",
        "        return True",
        "tests/store/test_journal.py::test_damaged_bytes_are_noticed",
    ),
    Defect(
        "outbox-without-checksum",
        "gateway/store/outbox.py",
        "        return sound and self.crc == checksum(self.topic, self.body)",
        "        return True",
        "tests/flow/test_outbox.py::test_damaged_bytes_are_never_sent",
    ),
    Defect(
        "order-by-id-instead-of-by-node",
        "gateway/flow/lanes.py",
        "            lane = self._lane(item.row.lane)\n            if 0 <",
        "            lane = self._lane(str(item.row.id))\n            if 0 <",
        "tests/flow/test_lanes.py::test_every_row_runs_once_and_in_order",
    ),
    Defect(
        "row-skipped-where-memory-ends",
        "gateway/flow/lanes.py",
        "        rows = self._read(lane.key, lane.last, most)\n",
        "        rows = self._read(lane.key, lane.last + 1, most)\n",
        "tests/flow/test_lanes.py::test_every_row_runs_once_and_in_order",
    ),
    Defect(
        "lost-retry",
        "gateway/flow/units.py",
        "        if attempts >= times.attempts:\n",
        "        if attempts >= 1:\n",
        "tests/service/test_handlers.py::test_what_fails_is_said_retried_and_kept",
    ),
    Defect(
        "swallowed-exception",
        "gateway/hooks/calls.py",
        "        delivery.error = failure\n        if failure",
        "        delivery.error = None\n        if failure",
        "tests/faults/test_hostile_plugins.py::test_a_hostile_plugin_harms_only_itself",
    ),
    Defect(
        "effects-twice-after-an-unknown-commit",
        "gateway/flow/work.py",
        "        if self.tried and self._applied(connection):\n            return self\n",
        "",
        "tests/flow/test_work.py::test_a_unit_that_is_run_twice_has_its_effects_once",
    ),
    Defect(
        "one-plugins-sql-breaks-all",
        "gateway/flow/work.py",
        '            connection.execute("ROLLBACK TO effect")\n',
        "            raise\n",
        "tests/flow/test_work.py::test_a_broken_statement_costs_its_own_plugin",
    ),
    Defect(
        "killer-event-tried-for-ever",
        "gateway/service/careful.py",
        "        if times > TIMES:\n            return False\n",
        "",
        "tests/hooks/test_isolation.py::test_an_event_that_ends_the_process_is_given_up",
    ),
    Defect(
        "breaker-never-opens",
        "gateway/flow/dispatch.py",
        "            self._parts.retries.breakers.judge(delivery)\n",
        "",
        "tests/hooks/test_isolation.py::test_a_plugin_that_keeps_failing_is_switched_off_visibly",
    ),
    Defect(
        "outbox-publish-before-commit",
        "gateway/flow/commit.py",
        '        failpoint("units.committing")\n',
        '        failpoint("units.committing")\n        for unit in units:\n'
        "            for effect in unit.effects:\n"
        "                self._parts.outbox.push(effect.parcels)\n",
        "tests/sim/test_world.py::test_a_seed_is_the_same_world_every_time",
    ),
    Defect(
        "refused-publish-without-a-pause",
        "gateway/flow/outbox.py",
        "                asyncio.get_running_loop().call_later(_PAUSE, self._again, key)\n",
        "                self._again(key)\n",
        "tests/flow/test_outbox.py::test_a_refusal_is_not_asked_for_as_fast_as_it_comes",
    ),
    Defect(
        "outbox-row-deleted-before-puback",
        "gateway/flow/outbox.py",
        '        failpoint("outbox.sending")\n',
        '        failpoint("outbox.sending")\n        self._delete(parcel.id)\n',
        "tests/flow/test_outbox.py::test_what_the_broker_has_not_acknowledged_is_kept",
    ),
    Defect(
        "expired-receipt-is-sent",
        "gateway/flow/outbox.py",
        "        if parcel.expires_at is not None and parcel.expires_at < now:\n",
        "        if False:\n",
        "tests/flow/test_outbox.py::test_what_is_pointless_is_dropped",
    ),
    Defect(
        "older-config-not-replaced",
        "gateway/store/outbox.py",
        "            replaced.extend(row[0] for row in old)\n",
        "",
        "tests/flow/test_outbox.py::test_a_newer_message_replaces_one_that_has_not_left",
    ),
    Defect(
        "acknowledgement-of-an-earlier-connection",
        "gateway/mqtt/session.py",
        "[t.mid for t in tokens if t.connection == self._number]",
        "[t.mid for t in tokens]",
        "tests/mqtt/test_promises.py::test_old_tokens_are_dropped",
    ),
    Defect(
        "backlog-is-life",
        "gateway/mqtt/received.py",
        "barrier.up or arrived.dup",
        "False",
        "tests/mqtt/test_promises.py::test_backlog_is_not_life",
    ),
    Defect(
        "time-without-hearing-counts",
        "gateway/mqtt/clock.py",
        "            self._value += min(max(now - self._heard_at, 0.0), self._step)\n",
        "            self._value += max(now - self._heard_at, 0.0)\n",
        "tests/mqtt/test_clock.py::test_a_suspended_process_loses_the_time",
    ),
    Defect(
        "two-gateways-on-one-store",
        "gateway/store/lock.py",
        "            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "            pass\n",
        "tests/store/test_lock.py::test_a_second_gateway_is_refused_by_name",
    ),
    Defect(
        "loop-for-each-message",
        "gateway/service/handlers.py",
        "            if not self._thread.started:\n",
        '            self._thread = LoopThread("gateway-fallback")\n            if True:\n',
        "tests/service/test_handlers.py::test_no_loop_at_all",
    ),
    Defect(
        "timer-outlives-its-stop",
        "gateway/service/jobs.py",
        "                    found = await asyncio.wrap_future(asked)\n",
        "                    try:\n"
        "                        found = await asyncio.wrap_future(asked)\n"
        "                    except asyncio.CancelledError:\n"
        "                        found = []\n",
        "tests/service/test_jobs.py::test_a_job_stops_even_while_its_answer_arrives",
    ),
    Defect(
        "stop-without-draining",
        "gateway/engine/life.py",
        "                await self._finish()\n",
        "                pass\n",
        "tests/service/test_handlers.py::test_stop_drains_what_was_accepted",
    ),
    # -- the plugins -------------------------------------------------------------------------
    Defect(
        "will-without-boot-id",
        "plugins/heartbeat/gateway_heartbeat/liveness.py",
        "    if boot and boot_id != boot:\n        # also",
        "    if False:\n        # also",
        "plugins/heartbeat/test_boots.py::test_hook_node_message_takes_wills_of_the_present_boot_only",
    ),
    Defect(
        "backlog-teaches-nothing",
        "plugins/heartbeat/gateway_heartbeat/liveness.py",
        "    pulse = pulse._replace(declared=said.interval)\n    after = {",
        "    after = {",
        f"{HEART}::test_a_beat_of_the_past_tells_how_often_the_node_beats",
    ),
    Defect(
        "retained-is-life",
        "plugins/heartbeat/gateway_heartbeat/watch.py",
        '    """Any other live message of the node."""\n    if not event.source.live:\n        return\n',
        '    """Any other live message of the node."""\n',
        f"{HEART}::test_history_is_no_life",
    ),
    Defect(
        "broker-outage-is-a-fleet-outage",
        "plugins/heartbeat/gateway_heartbeat/liveness.py",
        "    silence = now - max(pulse.proof, resumed)\n",
        "    silence = now - pulse.proof\n",
        f"{LIVENESS}::test_silence_counts_from_when_we_listen_again",
    ),
    Defect(
        "uid-taken-from-another-node",
        "plugins/hello/gateway_hello/reception.py",
        "        if tx.find_node(uid) is None:\n            return uid\n",
        "        return uid\n",
        "tests/field/test_b_identity.py::test_b2_two_devices_that_ask_for_one_uid_stay_two",
    ),
    Defect(
        "hello-resets-the-type",
        "plugins/hello/gateway_hello/reception.py",
        "    if event.node_type is not None or not node.known:\n",
        "    if True:\n",
        f"{HELLO}::test_a_type_is_never_taken_away_and_aliases_are_known",
    ),
    Defect(
        "earlier-boot-is-believed",
        "plugins/hello/gateway_hello/reception.py",
        '    if is_earlier(event.boot_id or "", kept.boot_id, kept.boots):\n',
        "    if False:\n",
        f"{HELLO}::test_a_late_hello_of_an_earlier_boot_changes_nothing",
    ),
    Defect(
        "verified-without-the-hash",
        "plugins/config/gateway_config/twin.py",
        "    meant = desired and (said.revision, said.sha256) == (desired.revision, desired.sha256)\n",
        "    meant = desired and said.revision == desired.revision\n",
        f"{TWIN}::test_verified_needs_revision_and_hash",
    ),
    Defect(
        "verified-without-the-proof",
        "plugins/config/gateway_config/twin.py",
        '        if said.state == "verified" and not said.proved:\n',
        "        if False:\n",
        f"{TWIN}::test_verified_needs_the_signature",
    ),
    Defect(
        "an-end-is-no-end",
        "plugins/config/gateway_config/twin.py",
        '    if desired.state not in LIVE | {"verified"}:\n        return twin, ()\n    if (shown',
        "    if (shown",
        f"{TWIN}::test_an_end_is_an_end",
    ),
    Defect(
        "revision-that-the-node-has-passed",
        "plugins/config/gateway_config/twin.py",
        "    return max(own, twin.shown.revision, twin.shown.top) + 1\n",
        "    return own + 1\n",
        f"{TWIN}::test_the_revision_goes_on_behind_the_node",
    ),
    # -- the node ----------------------------------------------------------------------------
    Defect(
        "node-believes-an-unsigned-receipt",
        "device/gwnode/greeting.py",
        "    if config.secret and not _is_signed(message, config):\n",
        "    if False:\n",
        "tests/device/test_trial.py::test_an_unsigned_receipt_does_not_end_a_trial_well",
    ),
    Defect(
        "receipt-from-before-the-switch-proves",
        "device/gwnode/greeting.py",
        "    elif seq >= node.first_hello:",
        "    elif seq >= 1:",
        "tests/device/test_trial.py::test_only_a_receipt_for_a_hello_since_the_switch_proves",
    ),
    Defect(
        "node-asks-once",
        "device/gwnode/greeting.py",
        "    node.hello_at = now + node.jitter(node.hello_pause)\n",
        "    node.hello_at = None\n",
        "tests/device/test_greeting.py::test_hello_is_repeated_with_growing_pauses_until_a_receipt",
    ),
    Defect(
        "trial-without-an-end",
        "device/gwnode/node.py",
        "        if self.trial_ends is not None and now >= self.trial_ends and self.wanted is None:\n",
        "        if False:\n",
        "tests/device/test_trial.py::test_a_trial_without_a_receipt_ends_by_time_and_is_told_once",
    ),
    Defect(
        "failed-config-is-tried-again",
        "device/gwnode/config.py",
        "        if self.failed and self.failed[0] == revision and self.failed[1] == sha:\n",
        "        if False:\n",
        "tests/device/test_trial.py::test_an_end_is_an_end",
    ),
    Defect(
        "calibration-wiped-by-a-push",
        "device/gwnode/document.py",
        "    if calibration:\n",
        "    if False:\n",
        "tests/device/test_trial.py::test_c9_a_push_without_calibration_keeps_it",
    ),
    Defect(
        "slot-without-checksum",
        "device/gwnode/flash.py",
        " or crc != wanted:",
        ":",
        "tests/device/test_flash.py::test_a_flipped_bit_is_a_slot_that_is_not_there",
    ),
    Defect(
        "slot-over-the-good-one",
        "device/gwnode/flash.py",
        "self._paths[1 if kept else 0]",
        "self._paths[0 if kept else 1]",
        "tests/device/test_power_cuts.py::test_a_cut_in_any_operation_leaves_the_old_or_the_new",
    ),
    Defect(
        "packet-id-zero",
        "device/gwnode/flight.py",
        "            self.pid = self.pid % 65535 + 1\n",
        "            self.pid = (self.pid + 1) % 65536\n",
        "tests/device/test_link.py::test_ids_wrap_to_one",
    ),
    Defect(
        "old-command-is-carried-out",
        "device/gwnode/commands.py",
        "_WINDOW = const(10)\n",
        "_WINDOW = const(100000)\n",
        "tests/device/test_commands.py::test_the_window_is_ten_seconds_on_either_side",
    ),
)
