"""The change feed: polls the registry version every half second, and at once after a notification of PostgreSQL.

Knows no tenant: its callbacks read what changed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from tenants_api.database.errors import StorageBusy, StorageError, cause_of
from tenants_api.replica.storage import FileMark, RegistryStorage

POLL_DEADLINE_SECONDS = 30.0  # for reading the version and applying the changes
log = structlog.get_logger("tenants_api.registry")


class ChangeFeed:
    """Polls the registry version every `interval` seconds, and at once on a notification.

    Calls `on_change` when the version has grown. Calls `on_resync` instead when changes may have been missed (a
    connection was lost, the database was unreachable, the version fell): it must compare everything. With `listen` (a
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
        self._on_change, self._on_resync = on_change, on_resync
        self._polling = asyncio.Lock()
        self._notified = asyncio.Event()
        self._resync_due, self._announced, self._unannounced = False, -1, False
        self._listener = (
            storage.listener(listen, on_notify=self._on_notify, on_connect=self._on_connect) if listen else None
        )
        self._connects = 0
        self._file: FileMark | None = None
        self._failure: str | None = None  # of the last poll
        self.version = -1
        self.last_seen = 0.0

    @property
    def alive(self) -> bool:
        """Whether the last poll was recent; False before the first one."""
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
        """Record that the whole registry was read at this version; it counts as a poll."""
        self.version, self.last_seen = version, self._clock()

    async def run(self) -> None:
        """Poll for ever; a failed poll is logged and repeated."""
        listening = asyncio.create_task(self._listener.run(), name="registry listener") if self._listener else None
        self._file = self._storage.file_mark()
        try:
            while True:
                await self._wait()
                await self._poll_and_log()
        finally:
            if self._listener is not None and listening is not None:
                self._listener.drop()  # a hanging server must not delay the end of the process
                listening.cancel()
                await asyncio.wait({listening})
            file, self._file = self._file, None
            if file is not None:
                await file.aclose()

    async def poll(self) -> None:
        """Poll now.

        Raises:
            StorageError: the database cannot be read.
        """
        async with self._polling:  # one at a time: a poll that overtook another would see the version fall
            file = self._file
            mark = await file.read() if file is not None else None
            if file is None or self._resync_due or not file.unchanged(mark):
                async with self._storage.read() as reading:
                    version = await reading.current_version()
                await self._notify(version)
                self.version = version
            if file is not None:
                file.seen(mark)
            self.last_seen = self._clock()

    async def _notify(self, version: int) -> None:
        resync, self._resync_due = self._resync_due or version < self.version, False
        if not resync or self._on_resync is None:
            if version != self.version:
                await self._on_change(version)
            return
        try:
            await self._on_resync(version)
        except BaseException:
            self._resync_due = True
            raise

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._interval):
                await self._notified.wait()
        self._check_announced()
        self._notified.clear()

    async def _poll_and_log(self) -> None:
        try:
            async with asyncio.timeout(POLL_DEADLINE_SECONDS):
                await self.poll()
        except (StorageError, OSError, TimeoutError) as error:
            # A full pool is our own load. After any other failure the server may return with other data.
            self._resync_due = self._resync_due or not isinstance(error, StorageBusy)
            self._log_failure(error)
        except Exception as error:
            # A bug must not end this loop: this worker would then accept tokens of suspended tenants.
            log.exception("registry_not_applied", error=type(error).__name__)
        else:
            if self._failure is not None:
                log.info("registry_read_again", version=self.version)
            self._failure = None

    def _log_failure(self, error: Exception) -> None:
        """Log the first failed poll, and the first one with another cause: there are two polls a second."""
        cause = cause_of(error)
        if cause != self._failure:
            detail = str(error) or None
            log.warning("registry_not_read", error=cause, detail=detail, lag_seconds=round(self.lag, 1))
        self._failure = cause

    def _on_notify(self, version: int) -> None:
        self._announced = version
        if version != self.version:
            self._notified.set()

    def _on_connect(self) -> None:
        """Notifications between the last connection and this one are lost."""
        self._announced, self._unannounced = self.version, False
        self._connects += 1
        if self._connects > 1:
            self._resync_due = True
        self._notified.set()

    def _check_announced(self) -> None:
        """Reconnect after a whole interval without the notification of a version: a pooler may have dropped LISTEN."""
        if self._listener is None or not self._listener.listening:
            return
        missing = self._announced < self.version
        if missing and self._unannounced:
            log.warning("registry_listener_deaf", version=self.version, announced=self._announced)
            self._listener.drop()
        self._unannounced = missing
