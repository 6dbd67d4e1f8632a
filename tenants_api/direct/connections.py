"""A few connections, each lent to one transaction at a time and made anew after whatever went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from tenants_api.database.errors import StorageBusy, StorageError
from tenants_api.database.options import PATIENCE, TURN

Row = tuple[Any, ...]


class Connection(Protocol):
    """One connection of a driver. Its methods raise StorageError; values are the same on both databases.

    Values go in as UUID, aware datetime, str, int, bool, bytes and None; `%s` is the placeholder.
    """

    is_postgresql: bool

    async def begin(self, *, writes: bool) -> None:
        """Begin a transaction; one that writes waits its turn here."""

    async def run(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """The rows of one statement."""

    async def commit(self) -> None:
        """End the transaction."""

    async def aclose(self) -> None:
        """Close it, whatever it is doing; what was not committed is undone."""


class Connections:
    """Lends two connections: one to whoever reads, one to whoever writes. A suspension is never read after a queue.

    `connect` makes one, or raises StorageError.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], *, turn: float = TURN) -> None:
        self._connect, self._turn = connect, turn
        self._reading, self._writing = asyncio.Semaphore(1), asyncio.Semaphore(1)
        self._lent: set[Connection] = set()
        self._idle: list[Connection] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    @asynccontextmanager
    async def transaction(self, *, writes: bool) -> AsyncIterator[Connection]:
        """Committed when the block ends, undone when it raises.

        Raises:
            StorageBusy: the connection was in use for five seconds.
            StorageError: the database cannot be used.
        """
        turns = self._writing if writes else self._reading
        await self._take_turn(turns)
        try:
            connection = await self._begun(writes=writes)
            self._lent.add(connection)
            try:
                yield connection
                await connection.commit()
            except BaseException as error:
                self._discard(connection)
                if isinstance(error, StorageError):
                    self._discard_idle()
                raise
            self._take_back(connection)
        finally:
            turns.release()

    async def aclose(self) -> None:
        """Close all of them, lent ones too; one that does not answer is waited for two seconds."""
        self._closed = True
        self._discard_idle()
        for connection in list(self._lent):
            self._discard(connection)
        if self._closing:
            await asyncio.wait(self._closing, timeout=PATIENCE)

    async def _take_turn(self, turns: asyncio.Semaphore) -> None:
        try:
            async with asyncio.timeout(self._turn):
                await turns.acquire()
        except TimeoutError as error:
            raise StorageBusy(error) from error

    def _take_back(self, connection: Connection) -> None:
        if self._closed:
            self._discard(connection)
            return
        self._lent.discard(connection)
        self._idle.append(connection)

    async def _begun(self, *, writes: bool) -> Connection:
        """A connection within a transaction. One that died while it was idle costs no more than a new one."""
        if self._idle:
            connection = self._idle.pop()
            try:
                return await self._began(connection, writes=writes)
            except StorageError:
                if not connection.is_postgresql:  # a file ends no connection: it is locked, or cannot be read
                    raise
            self._discard_idle()
        return await self._began(await self._connect(), writes=writes)

    async def _began(self, connection: Connection, *, writes: bool) -> Connection:
        try:
            await connection.begin(writes=writes)
        except BaseException:
            self._discard(connection)
            raise
        return connection

    def _discard_idle(self) -> None:
        """What went wrong with one is true of all where the server became a standby: only new ones find the new one."""
        while self._idle:
            self._discard(self._idle.pop())

    def _discard(self, connection: Connection) -> None:
        """Nobody waits for a close: whoever was cancelled must not wait for the server."""
        self._lent.discard(connection)
        closing = asyncio.create_task(connection.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
