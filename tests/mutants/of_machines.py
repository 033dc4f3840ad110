"""What a state machine of Hypothesis is to find."""

from __future__ import annotations

from defect import Defect

MACHINES = (
    Defect(
        "row-is-not-marked-done",
        "gateway/store/journal.py",
        "        (state, answer, journal_id),\n",
        "        (GATHERED if state == DONE else state, answer, journal_id),\n",
        "tests/store/test_journal_machine.py::TestJournal",
    ),
    Defect(
        "taken-again-is-done-again",
        "gateway/store/journal.py",
        "    return None if row is None else int(row[0])\n",
        "    return WAITING\n",
        "tests/store/test_journal_machine.py::TestJournal",
    ),
    Defect(
        "answered-though-rolled-back",
        "gateway/store/writer.py",
        '        connection.execute("COMMIT")\n',
        '        connection.execute("ROLLBACK")\n',
        "tests/store/test_journal_machine.py::TestJournal",
    ),
    Defect(
        "replayed-message-does-not-wait",
        "gateway/store/journal.py",
        "UPDATE journal SET state = 0, flags",
        "UPDATE journal SET state = 1, flags",
        "tests/store/test_journal_machine.py::TestJournal",
    ),
    Defect(
        "one-refused-too-many",
        "gateway/store/journal.py",
        "WHERE id <= (SELECT max(id) FROM refused) - ?",
        "WHERE id < (SELECT max(id) FROM refused) - ?",
        "tests/store/test_journal_machine.py::TestJournal",
    ),
    Defect(
        "half-a-group-is-kept",
        "gateway/store/writer.py",
        "            try:\n                connection.close()\n",
        "            try:\n"
        "                if connection.in_transaction:\n"
        '                    connection.execute("COMMIT")\n'
        "                connection.close()\n",
        "tests/store/test_journal_machine.py::TestJournal",
    ),
    Defect(
        "lane-reads-its-neighbours",
        "gateway/store/journal.py",
        "WHERE state = 0 AND lane = ? AND id > ? ",
        "WHERE state = 0 AND lane >= ? AND id > ? ",
        "tests/store/test_journal_machine.py::TestJournal",
    ),
    Defect(
        "puback-is-not-kept",
        "gateway/flow/outbox.py",
        "        self.sent += 1\n        self._finished.delete(parcel.id)\n",
        "        self.sent += 1\n",
        "tests/flow/test_outbox_machine.py::TestOutbox",
    ),
    Defect(
        "newer-message-leaves-first",
        "gateway/flow/outbox.py",
        "            queue.append(parcel)\n",
        "            queue.appendleft(parcel)\n",
        "tests/flow/test_outbox_machine.py::TestOutbox",
    ),
    Defect(
        "failed-publish-is-done",
        "gateway/flow/outbox.py",
        "                self._lost(parcel)\n            return False\n",
        "                self._lost(parcel)\n            return True\n",
        "tests/flow/test_outbox_machine.py::TestOutbox",
    ),
    Defect(
        "others-wait-for-nobody",
        "gateway/flow/outbox.py",
        "        self._go_on()  # only now",
        "        # only now",
        "tests/flow/test_outbox_machine.py::TestOutbox",
    ),
    Defect(
        "older-config-left-in-memory",
        "gateway/flow/held.py",
        "                self._replaced.add(older)\n",
        "                pass\n",
        "tests/flow/test_outbox_machine.py::TestOutbox",
    ),
    Defect(
        "sends-behind-a-broken-link",
        "gateway/flow/outbox.py",
        "            while queue and self._connected:\n",
        "            while queue:\n",
        "tests/flow/test_outbox_machine.py::TestOutbox",
    ),
    Defect(
        "two-tasks-for-one-node",
        "gateway/flow/outbox.py",
        "            if key in self._busy or not self._queues.get(key):\n",
        "            if not self._queues.get(key):\n",
        "tests/flow/test_outbox_machine.py::TestOutbox",
    ),
)
