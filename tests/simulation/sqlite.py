"""SQLite in virtual time: SQLAlchemy's dialect for aiosqlite over a driver that has no thread.

Real SQL on a real file. What is simulated is the way to it: how long a statement takes, whether the database can be
reached, whether a commit fails before it happened or is cut after it. A locked file is waited for in virtual time.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType, SimpleNamespace
from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_dbapi, SQLiteDialect_aiosqlite

from tests.simulation.loop import owner

DRIVER = "sqlite+simulated"
LOCK_TIMEOUT = 10.0  # seconds that a writer waits for another one
STATEMENT = (0.0001, 0.003)  # seconds


class Disk:
    """The database as the processes see it. `on_commit` is called at the very moment of each commit."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.on_commit: Callable[[str], None] = lambda process: None
        self.on_fault: Callable[[str, str], None] = lambda process, fault: None
        self._away: set[str] = set()
        self._hanging: dict[str, asyncio.Event] = {}
        self._slow: dict[str, float] = {}
        self._failing: dict[str, list[str]] = {}
        self._connections: dict[str, list[Connection]] = {}

    def reach(self, process: str, *, away: bool = False, hanging: bool = False, slow: float = 0.0) -> None:
        """How this process reaches the database from now on."""
        (self._away.add if away else self._away.discard)(process)
        if hanging:
            self._hanging.setdefault(process, asyncio.Event())
        elif process in self._hanging:
            self._hanging.pop(process).set()
        self._slow[process] = slow

    def fail_next(self, process: str, fault: str) -> None:
        """One statement of this process fails: `read` (a select), `reread` (the one after the next commit),
        `commit` (before it), or `cut` (after it)."""
        self._failing.setdefault(process, []).append(fault)

    def forgive(self, process: str) -> None:
        """Faults that did not happen yet never will."""
        self._failing.pop(process, None)

    async def turn(self, process: str, statement: str) -> None:
        """Wait for as long as a statement takes. Raises OperationalError if it does not reach the database."""
        mine = owner()
        await asyncio.sleep(mine.uniform(*STATEMENT) + self._slow.get(process, 0.0))
        while (hanging := self._hanging.get(process)) is not None:
            await hanging.wait()
        if process in self._away:
            raise sqlite3.OperationalError("simulated: the database cannot be reached")
        if statement[:6].lower() == "select" and self._take(process, "read"):
            raise sqlite3.OperationalError("simulated: the read failed")

    async def commit(self, connection: Connection) -> None:
        await self.turn(connection.process, "commit")
        if not connection.sqlite.in_transaction:
            return
        if self._take(connection.process, "commit"):
            raise sqlite3.OperationalError("simulated: the commit failed")
        await self.locked(connection.sqlite.commit)
        self.on_commit(connection.process)
        if self._take(connection.process, "reread"):
            self._failing[connection.process].append("read")
        if self._take(connection.process, "cut"):
            raise sqlite3.OperationalError("simulated: the connection was cut during the commit")
        await asyncio.sleep(owner().uniform(*STATEMENT))

    async def locked(self, work: Callable[[], Any]) -> Any:
        """Do it as soon as no other connection holds the lock."""
        loop = asyncio.get_running_loop()
        until = loop.time() + LOCK_TIMEOUT
        while True:
            try:
                return work()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or loop.time() > until:
                    raise
            await asyncio.sleep(owner().uniform(0.0005, 0.004))

    def opened(self, connection: Connection) -> None:
        self._connections.setdefault(connection.process, []).append(connection)

    def close(self, process: str | None = None) -> None:
        """The process ended: so did its transactions."""
        for name in [process] if process is not None else list(self._connections):
            for connection in self._connections.pop(name, []):
                connection.stop()

    def _take(self, process: str, fault: str) -> bool:
        waiting = self._failing.get(process, [])
        if fault not in waiting:
            return False
        waiting.remove(fault)
        self.on_fault(process, fault)
        return True


DISKS: dict[str, Disk] = {}


class Cursor:
    """As aiosqlite's."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self._connection, self._cursor = connection, connection.sqlite.cursor()

    async def __aenter__(self) -> Cursor:
        return self

    @property
    def description(self) -> Any:
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> Any:
        return self._cursor.lastrowid

    async def execute(self, statement: str, parameters: Any = ()) -> Cursor:
        await self._connection.disk.turn(self._connection.process, statement)
        await self._connection.disk.locked(lambda: self._cursor.execute(statement, parameters))
        return self

    async def executemany(self, statement: str, parameters: Any) -> Cursor:
        await self._connection.disk.turn(self._connection.process, statement)
        await self._connection.disk.locked(lambda: self._cursor.executemany(statement, parameters))
        return self

    async def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    async def close(self) -> None:
        self._cursor.close()


class Connection:
    """As aiosqlite's."""

    def __init__(self, path: str) -> None:
        self.disk, self.process = DISKS[path], owner().process
        self.sqlite = self._conn = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        self._connection: sqlite3.Connection | None = self.sqlite
        self._thread = SimpleNamespace(daemon=True)
        self._tx = SimpleNamespace(put_nowait=_do_now)
        self.disk.opened(self)

    def __await__(self) -> Any:
        yield from self.disk.turn(self.process, "connect").__await__()
        return self

    @property
    def isolation_level(self) -> str | None:
        return self.sqlite.isolation_level

    def cursor(self) -> Cursor:
        return Cursor(self)

    async def commit(self) -> None:
        await self.disk.commit(self)

    async def rollback(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # closed: rolled back
            self.sqlite.rollback()

    async def create_function(self, *args: Any, **how: Any) -> None:
        self.sqlite.create_function(*args, **how)

    async def close(self) -> None:
        self.stop()

    def stop(self) -> None:
        self._connection = None
        self.sqlite.close()


def _do_now(work: tuple[asyncio.Future[Any], Callable[[], Any]]) -> None:
    future, function = work
    future.set_result(function())


def _driver() -> ModuleType:
    module = ModuleType("simulated")
    names = ("DatabaseError", "Error", "IntegrityError", "NotSupportedError", "OperationalError", "ProgrammingError")
    for name in (*names, "sqlite_version", "sqlite_version_info"):
        setattr(module, name, getattr(sqlite3, name))
    module.Connection = Connection  # type: ignore[attr-defined]
    module.connect = lambda path, **how: Connection(path)  # type: ignore[attr-defined]
    module.__version__ = "0.22.1"  # type: ignore[attr-defined]
    return module


class Dialect(SQLiteDialect_aiosqlite):
    """SQLAlchemy's own dialect over the simulated driver."""

    driver = "simulated"
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> AsyncAdapt_aiosqlite_dbapi:
        return AsyncAdapt_aiosqlite_dbapi(_driver(), sqlite3)


registry.register("sqlite.simulated", __name__, "Dialect")
