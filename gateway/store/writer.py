"""One thread that writes, with group commit: what arrived while a commit was under way shares the next.

Rules of this file. An operation is a function of the connection and can be run again: a COMMIT that
fails has an unknown outcome (rule 19), so the connection is closed, opened anew, and the whole group
is taken again; operations recognise by their keys what is there already. Trouble with the disk is
never an operation's failure: it is tried for ever, with back-off. Nobody hears of a result before
its COMMIT has returned.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from gateway.failpoint import failpoint
from gateway.store.sqlite import Connection, Error, UndoneError, is_trouble

log = logging.getLogger(__name__)
T = TypeVar("T")
Operation = Callable[[Connection], Any]
_Entry = tuple[Operation, "asyncio.Future[Any]"]
_GROUP = 512


class Writer:
    """Takes operations on the gateway's loop, runs them on its own thread, answers on the loop."""

    def __init__(
        self,
        open_connection: Callable[[], Connection],
        *,
        on_trouble: Callable[[Exception | None], None] = lambda _error: None,
    ) -> None:
        self._open = open_connection
        self._on_trouble = on_trouble
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: deque[_Entry] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="gateway-writer", daemon=True)
        self._troubled = False
        self.commits = 0

    def start(self, connection: Connection) -> None:
        """Begin, with the connection that start-up opened and migrated."""
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._thread.start()

    def submit(self, operation: Callable[[Connection], T]) -> asyncio.Future[T]:
        """Run `operation` in the next group; the future resolves after the group's COMMIT."""
        assert self._loop is not None, "the writer was not started"
        future: asyncio.Future[T] = self._loop.create_future()
        with self._wake:
            if self._closing:
                raise RuntimeError("the writer is closed")
            self._queue.append((operation, future))
            self._wake.notify()
        return future

    async def close(self) -> None:
        """Commit what is queued, then end. Waits 5 s for a disk that does not answer, no longer."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join, 5.0)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._closing:
                    self._wake.wait()
                if not self._queue:
                    break
                group = [self._queue.popleft() for _ in range(min(len(self._queue), _GROUP))]
            self._answer(group, self._commit_for_ever(group))
        if self._connection is not None:
            failpoint("writer.closing")
            self._connection.close()

    def _commit_for_ever(self, group: list[_Entry]) -> list[Any]:
        pause = 0.05
        while True:
            try:
                results = self._commit(group)
            except (Error, OSError, MemoryError) as error:
                self._trouble(error)
                self._drop_connection()
                with self._wake:
                    if self._closing and pause > 1:
                        return [error] * len(group)
                    self._wake.wait(pause)
                pause = min(pause * 2, 5.0)
            else:
                self._trouble(None)
                return results

    def _commit(self, group: list[_Entry]) -> list[Any]:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._reopen()
        while True:
            try:
                results = self._apply(connection, [operation for operation, _ in group])
                break
            except UndoneError:
                log.warning("a plugin's statement ended the transaction; the rest is done again")
        failpoint("writer.applied")
        connection.execute("COMMIT")
        failpoint("writer.committed")
        self.commits += 1
        return results

    def _apply(self, connection: Connection, operations: list[Operation]) -> list[Any]:
        """All of them in one transaction; one that fails fails alone. Raises UndoneError, after
        which whoever did it has noted that it must not be done again."""
        connection.execute("BEGIN IMMEDIATE")
        failpoint("writer.begun")
        try:
            return [operation(connection) for operation in operations]
        except Exception as error:
            if is_trouble(error) or isinstance(error, UndoneError):
                raise
        connection.execute("ROLLBACK")
        connection.execute("BEGIN IMMEDIATE")
        return [self._alone(connection, operation) for operation in operations]

    @staticmethod
    def _alone(connection: Connection, operation: Operation) -> Any:
        connection.execute("SAVEPOINT alone")
        try:
            result = operation(connection)
        except Exception as error:
            if is_trouble(error) or isinstance(error, UndoneError):
                raise
            connection.execute("ROLLBACK TO alone")
            result = error
        connection.execute("RELEASE alone")
        return result

    def _reopen(self) -> Connection:
        failpoint("writer.reopening")
        try:
            return self._open()
        except Exception as error:
            raise Error(str(error)) from error

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Error as error:
                log.debug("closing the broken connection: %s", error)

    def _trouble(self, error: Exception | None) -> None:
        if (error is not None) == self._troubled:
            return
        self._troubled = error is not None
        self._call(self._on_trouble, error)

    def _answer(self, group: list[_Entry], results: list[Any]) -> None:
        self._call(_resolve, [(future, r) for (_, future), r in zip(group, results, strict=True)])

    def _call(self, function: Callable[[Any], None], argument: Any) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, argument)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            log.debug("the loop was gone before the writer's answer")


def _resolve(answers: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in answers:
        if future.cancelled():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
