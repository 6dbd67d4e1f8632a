"""How a worker follows the registry: it looks at the version every half second, sooner when PostgreSQL says so.

Knows no tenant: what changed is read by those who are told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from tenants_api.database.errors import StorageBusy, StorageError, cause_of
from tenants_api.replica.storage import FileMark, RegistryStorage

LOOK_DEADLINE = 30.0  # seconds for reading the version and applying what changed
log = structlog.get_logger("tenants_api.registry")


class ChangeFeed:
    """Looks at the registry version every `interval` seconds, and at once on a notification.

    `on_change` is called when the version has moved. `on_doubt` is called instead when changes may have passed unseen
    (a connection was lost, the database was away, the version fell): it must compare everything. With `listen` (a
    PostgreSQL URL past any pooler) notifications shorten the wait.
    """

    def __init__(
        self,
        storage: RegistryStorage,
        *,
        interval: float,
        on_change: Callable[[int], Awaitable[None]],
        on_resync: Callable[[int], Awaitable[None]] | None = None,
        listen: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage, self._interval, self._clock = storage, interval, clock
        self._on_change, self._on_doubt = on_change, on_resync
        self._looking = asyncio.Lock()
        self._news = asyncio.Event()
        self._doubt, self._announced, self._unannounced = False, -1, False
        hear, connected = self._hear, self._connected
        self._listener = storage.listener(listen, on_news=hear, on_connect=connected) if listen else None
        self._connects = 0
        self._file: FileMark | None = None
        self.version = -1
        self.last_seen = 0.0

    @property
    def alive(self) -> bool:
        """Whether the database answered lately; never before the first look, for the clock may count from boot."""
        return self.version >= 0 and self.lag < max(5.0, 5 * self._interval)

    @property
    def lag(self) -> float:
        """Seconds since the version was last read."""
        return self._clock() - self.last_seen

    @property
    def state(self) -> str:
        """`listening` where PostgreSQL notifies, else `polling`."""
        return "listening" if self._listener is not None and self._listener.listening else "polling"

    def loaded(self, version: int) -> None:
        """The registry was just read as a whole at this version: that counts as a look."""
        self.version, self.last_seen = version, self._clock()

    async def run(self) -> None:
        """Look for ever; a database that is away is looked at again."""
        listening = asyncio.create_task(self._listener.run(), name="registry listener") if self._listener else None
        self._file = self._storage.file_mark()
        try:
            while True:
                await self._wait()
                await self._look()
        finally:
            if self._listener is not None and listening is not None:
                self._listener.drop()  # a hanging server must not hold up the end of the process
                listening.cancel()
                await asyncio.wait({listening})
            file, self._file = self._file, None
            if file is not None:
                await file.aclose()

    async def poll(self) -> None:
        """Look now.

        Raises:
            StorageError: the database cannot be read.
        """
        async with self._looking:  # one after the other: two that overtake each other would see the version fall
            file = self._file
            mark = await file.read() if file is not None else None
            if file is None or self._doubt or not file.unchanged(mark):
                async with self._storage.read() as reading:
                    version = await reading.current_version()
                await self._tell(version)
                self.version = version
            if file is not None:
                file.seen(mark)
            self.last_seen = self._clock()

    async def _tell(self, version: int) -> None:
        doubt, self._doubt = self._doubt or version < self.version, False
        if not doubt or self._on_doubt is None:
            if version != self.version:
                await self._on_change(version)
            return
        try:
            await self._on_doubt(version)
        except BaseException:
            self._doubt = True
            raise

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._interval):
                await self._news.wait()
        self._check_announced()
        self._news.clear()

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(LOOK_DEADLINE):
                await self.poll()
        except (StorageError, OSError, TimeoutError) as error:
            # A full pool is our own load. Anything else may be a server that comes back with other data.
            self._doubt = self._doubt or not isinstance(error, StorageBusy)
            detail = str(error) if isinstance(error, StorageError) else None
            log.warning("registry_not_read", error=cause_of(error), detail=detail, lag_seconds=round(self.lag, 1))
        except Exception as error:
            # Nobody waits for this loop: if a mistake of ours ended it, this worker would follow no change any
            # more, and a suspended tenant would go on here. It goes on instead, and says what happened.
            log.exception("registry_not_applied", error=type(error).__name__)

    def _hear(self, version: int) -> None:
        self._announced = version
        if version != self.version:
            self._news.set()

    def _connected(self) -> None:
        """Listening anew: what happened since the last connection was told to nobody."""
        self._announced, self._unannounced = self.version, False
        self._connects += 1
        if self._connects > 1:
            self._doubt = True
        self._news.set()

    def _check_announced(self) -> None:
        """A version that stays unannounced for a whole interval was lost: this connection is deaf (a pooler's)."""
        if self._listener is None or not self._listener.listening:
            return
        missing = self._announced < self.version
        if missing and self._unannounced:
            log.warning("registry_listener_deaf", version=self.version, announced=self._announced)
            self._listener.drop()
        self._unannounced = missing
