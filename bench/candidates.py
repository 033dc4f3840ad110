"""What drains a backlog, each in a process of its own: bare paho, and the whole gateway.

    python -m bench.candidates paho PORT COUNT
    python -m bench.candidates ours PORT COUNT STATE_DIR
    python -m bench.candidates script PORT COUNT STATE_DIR

Each prints one line of JSON: seconds, CPU seconds, resident MB. `COUNT` 0 only makes the session.
"""

from __future__ import annotations

import json
import resource
import sqlite3
import sys
import threading
import time
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

FILTER = "hydro/+/+/+/heartbeat"


def report(began: float, cpu: float) -> None:
    """One line."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "seconds": time.monotonic() - began,
                "cpu": usage.ru_utime + usage.ru_stime - cpu,
                "rss_mb": usage.ru_maxrss / 1024,
            }
        )
    )


def cpu_now() -> float:
    """CPU seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def bare_paho(port: int, count: int) -> None:
    """Receive and let paho acknowledge; nothing is stored."""
    seen = 0
    done = threading.Event()

    def on_message(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == count:
            done.set()

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bench-paho", clean_session=False)
    client.on_message = on_message
    client.on_connect = lambda c, *_: c.subscribe(FILTER, 1)
    client.on_subscribe = lambda *_: done.set() if count == 0 else None
    began, cpu = time.monotonic(), cpu_now()
    client.connect("127.0.0.1", port)
    client.loop_start()
    done.wait(120)
    report(began, cpu)
    client.disconnect()
    client.loop_stop()


def user_script(port: int, count: int, state: str) -> None:
    """What a user writes: paho, json, one insert and one commit for each message."""
    connection = sqlite3.connect(Path(state) / "script.db", check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL").fetchall()
    connection.execute("PRAGMA synchronous=FULL").fetchall()
    connection.execute("CREATE TABLE IF NOT EXISTS beats (topic TEXT, at REAL, heap INTEGER)")
    seen = 0
    done = threading.Event()

    def on_message(_c: object, _u: object, message: paho.MQTTMessage) -> None:
        nonlocal seen
        beat = json.loads(message.payload)
        with connection:
            connection.execute(
                "INSERT INTO beats VALUES (?, ?, ?)",
                (message.topic, time.time(), beat["free_heap"]),
            )
        seen += 1
        if seen == count:
            done.set()

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bench-script", clean_session=False)
    client.on_message = on_message
    client.on_connect = lambda c, *_: c.subscribe(FILTER, 1)
    client.on_subscribe = lambda *_: done.set() if count == 0 else None
    began, cpu = time.monotonic(), cpu_now()
    client.connect("127.0.0.1", port)
    client.loop_start()
    done.wait(120)
    report(began, cpu)
    client.disconnect()
    client.loop_stop()
    connection.close()


def ours(port: int, count: int, state: str) -> None:
    """The whole way: journal, PUBACK, three plugins, their effects committed."""
    from gateway import Gateway, load_settings

    overrides = {
        "state_dir": state,
        "mqtt.host": "127.0.0.1",
        "mqtt.port": port,
        "mqtt.client_id": "bench-ours",
    }
    gateway = Gateway(load_settings("/dev/null", overrides, {}).settings)
    began, cpu = time.monotonic(), cpu_now()
    gateway.start()
    gateway.ready(30)
    while count:
        facts = gateway.facts()
        if facts["counts"].get("received", 0) >= count and facts["waiting"] == 0:
            break
        if time.monotonic() - began > 120:
            raise TimeoutError(str(facts))
        time.sleep(0.005)
    report(began, cpu)
    gateway.stop()


if __name__ == "__main__":
    name, port, count, *rest = sys.argv[1:]
    {"paho": bare_paho, "script": user_script, "ours": ours}[name](int(port), int(count), *rest)
