"""What others do with the same messages, and the gateway inside of a process that counts.

    python -m bench.candidates NAME PORT COUNT FOLDER

`COUNT` 0 only makes the persistent session; -1 serves until it is ended. Those that drain a backlog
print one line of JSON: seconds from the connect to the last message, CPU seconds, resident MB.

paho     receive and let paho acknowledge; nothing is stored
beats    what a user writes first: paho, json, one insert and one commit for each message
ours     the whole way: journal, PUBACK, plugins, effects
intake   receive, journal, PUBACK, and no further
echo     bare paho answers a hello at once; nothing is stored
script   paho, json, insert the node, commit, answer
threads  the first repair of the founding problem: a thread and an event loop for each message
"""

from __future__ import annotations

import asyncio
import json
import resource
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

BEATS, STATUS = "hydro/+/+/+/heartbeat", "hydro/+/+/+/status"
HELLO = "hydro/node_hello"
OnMessage = Callable[[paho.Client, Any, paho.MQTTMessage], None]


class Meter:
    """From the connect to its report."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Now it connects."""
        self._began, self._cpu = time.monotonic(), time.process_time()

    def report(self) -> None:
        """One line."""
        print(
            json.dumps(
                {
                    "seconds": time.monotonic() - self._began,
                    "cpu": time.process_time() - self._cpu,
                    "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                }
            )
        )


def drain(port: int, count: int, name: str, pattern: str, on_message: OnMessage) -> None:
    """A paho client on a persistent session, until `count` messages came."""
    done, seen = threading.Event(), 0

    def counting(client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        nonlocal seen
        on_message(client, data, message)
        seen += 1
        if seen == count:
            done.set()

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
    client.on_message = counting
    client.on_connect = lambda c, *_: c.subscribe(pattern, 1)

    def subscribed(*_: object) -> None:
        if count < 0:
            print("ready")
        elif count == 0:
            done.set()

    client.on_subscribe = subscribed
    meter = Meter()
    client.connect("127.0.0.1", port)
    client.loop_start()
    done.wait()
    meter.report()
    client.disconnect()
    client.loop_stop()


def store(folder: str) -> sqlite3.Connection:
    """A database with the same promise as ours: WAL and FULL."""
    connection = sqlite3.connect(Path(folder) / "script.db", check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL").fetchall()
    connection.execute("PRAGMA synchronous=FULL").fetchall()
    connection.execute("CREATE TABLE IF NOT EXISTS beats (topic TEXT, at REAL, heap INTEGER)")
    connection.execute("CREATE TABLE IF NOT EXISTS nodes (hardware_id TEXT PRIMARY KEY, at REAL)")
    return connection


def inserting(connection: sqlite3.Connection) -> OnMessage:
    """One insert and one commit for each beat."""

    def on_message(_c: paho.Client, _u: Any, message: paho.MQTTMessage) -> None:
        beat = json.loads(message.payload)
        with connection:
            row = (message.topic, time.time(), beat["free_heap"])
            connection.execute("INSERT INTO beats VALUES (?, ?, ?)", row)

    return on_message


def answer(client: paho.Client, name: str) -> None:
    """A receipt."""
    text = json.dumps({"message_type": "hello_ack", "hardware_id": name}, separators=(",", ":"))
    client.publish(f"hydro/gh-temp/zn-temp/{name}/hello_ack", text, 1)


def echoing(client: paho.Client, _u: Any, message: paho.MQTTMessage) -> None:
    """Answer at once."""
    answer(client, json.loads(message.payload)["hardware_id"])


def registering(connection: sqlite3.Connection) -> OnMessage:
    """Insert the node, commit, answer."""

    def on_message(client: paho.Client, _u: Any, message: paho.MQTTMessage) -> None:
        name = json.loads(message.payload)["hardware_id"]
        with connection:
            connection.execute("INSERT OR IGNORE INTO nodes VALUES (?, ?)", (name, time.time()))
        answer(client, name)

    return on_message


def threading_each(connection: sqlite3.Connection) -> OnMessage:
    """The same as a coroutine in a thread and an event loop of its own."""
    register, lock = registering(connection), threading.Lock()

    async def handle(client: paho.Client, message: paho.MQTTMessage) -> None:
        with lock:
            register(client, None, message)

    def on_message(client: paho.Client, _u: Any, message: paho.MQTTMessage) -> None:
        threading.Thread(target=lambda: asyncio.run(handle(client, message)), daemon=True).start()

    return on_message


def ours(port: int, count: int, folder: str, *, only_intake: bool = False) -> None:
    """A gateway inside of this process; `count` messages are through when nothing waits any more."""
    from gateway import Gateway, load_settings

    overrides = {
        "state_dir": folder,
        "mqtt.host": "127.0.0.1",
        "mqtt.port": port,
        "mqtt.client_id": "bench-ours",
    }
    gateway = Gateway(load_settings("/dev/null", overrides, {}).settings)
    meter = Meter()
    gateway.on_story(lambda kind, _text: meter.begin() if kind == "broker" else None)
    gateway.start()
    if only_intake:
        gateway._need().wiring.dispatcher.accepting = False
    gateway.ready(30)
    while count and not through(gateway.facts(), count, only_intake):
        time.sleep(0.005)
    meter.report()
    gateway.stop()


def through(facts: dict[str, Any], count: int, only_intake: bool) -> bool:
    """True where `count` messages are in the journal, and done with."""
    counts = facts["counts"]
    kept = counts.get("journaled", 0)
    taken = kept + counts.get("folded", 0) + counts.get("duplicate", 0)
    return taken >= count and (only_intake or facts["events"] >= kept)


def main() -> None:
    """One of them."""
    name, port, count, folder, *more = sys.argv[1:]
    where, number = int(port), int(count)
    pattern = more[0] if more else HELLO
    if name in ("ours", "intake"):
        ours(where, number, folder, only_intake=name == "intake")
        return
    handlers: dict[str, Callable[[], OnMessage]] = {
        "paho": lambda: lambda *_: None,
        "echo": lambda: echoing,
        "beats": lambda: inserting(store(folder)),
        "script": lambda: registering(store(folder)),
        "threads": lambda: threading_each(store(folder)),
    }
    drain(where, number, f"bench-{name}", pattern, handlers[name]())


if __name__ == "__main__":
    main()
