"""Where the project comes from: ten messages for an async handler, and three ways to run it.

    python -m bench.origin

1. as it was: the client's thread looks for a running event loop, finds none, drops the coroutine;
2. the first repair: a thread and a new event loop for each message;
3. ours: one long-lived fallback loop behind a journal.

The handler is like real ones: it holds one lock for all messages, made where it was first used.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from gateway import Gateway, load_settings
from gateway.testing.broker import Mosquitto

MESSAGES = 10
TOPIC = "hydro/node_hello"
Count = Callable[[], int]


def make_handler() -> tuple[Callable[[str, bytes], object], Count]:
    """A handler with one lock, and how many messages it has processed."""
    processed: list[str] = []
    lock = asyncio.Lock()

    async def handle(topic: str, _payload: bytes) -> None:
        async with lock:
            await asyncio.sleep(0.01)  # a query, a request: something that really waits
            processed.append(topic)

    return handle, lambda: len(processed)


def as_it_was() -> int:
    """Called from the client's network thread, where no loop runs: the coroutine is never awaited."""
    handle, count = make_handler()

    def on_message(topic: str, payload: bytes) -> None:
        coroutine = handle(topic, payload)
        try:
            asyncio.get_running_loop().create_task(coroutine)  # type: ignore[arg-type] - the handler is a coroutine function
        except RuntimeError:
            return

    _from_a_thread(on_message)
    gc.collect()
    return count()


def first_repair() -> int:
    """A daemon thread and a new loop for each message: the lock belongs to the first of them."""
    handle, count = make_handler()
    threads: list[threading.Thread] = []

    def run(topic: str, payload: bytes) -> None:
        try:
            asyncio.run(asyncio.wait_for(handle(topic, payload), 2.0))  # type: ignore[arg-type] - the handler is a coroutine function
        except (RuntimeError, TimeoutError):
            return

    def on_message(topic: str, payload: bytes) -> None:
        thread = threading.Thread(target=run, args=(topic, payload), daemon=True)
        threads.append(thread)
        thread.start()

    _from_a_thread(on_message)
    for thread in threads:
        thread.join(3.0)
    return count()


def ours() -> int:
    """The same handler, subscribed to a gateway without any event loop of the application."""
    handle, count = make_handler()
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder) / "broker") as broker:
        overrides = {
            "state_dir": str(Path(folder) / "state"),
            "mqtt.host": "127.0.0.1",
            "mqtt.port": broker.port,
        }
        gateway = Gateway(load_settings(overrides=overrides).settings)
        gateway.subscribe(TOPIC, handle)  # type: ignore[arg-type] - the handler is a coroutine function
        gateway.start()
        gateway.ready(10)
        for number in range(MESSAGES):
            broker.publish(TOPIC, f'{{"message_type":"node_hello","hardware_id":"n{number}"}}')
        deadline = time.monotonic() + 10
        while count() < MESSAGES and time.monotonic() < deadline:
            time.sleep(0.02)
        gateway.stop()
    return count()


def _from_a_thread(on_message: Callable[[str, bytes], None]) -> None:
    def network() -> None:
        for _ in range(MESSAGES):
            on_message(TOPIC, b"{}")

    thread = threading.Thread(target=network)
    thread.start()
    thread.join()


def main() -> None:
    """Print how many of the ten messages each way has processed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = [
            ("as it was: no running loop, coroutine dropped", as_it_was()),
            ("first repair: a thread and a loop for each message", first_repair()),
            ("hellogate: journal and one long-lived loop", ours()),
        ]
    print(f"{'way':<52} processed of {MESSAGES}")
    for name, count in rows:
        print(f"{name:<52} {count}")


if __name__ == "__main__":
    main()
