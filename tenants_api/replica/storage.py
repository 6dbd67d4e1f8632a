"""What a replica of the registry needs of a database. `registry.sessions` implements it; knows no SQLAlchemy."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from tenants_api.registry.values import Health, Refused, StoredKeys, TenantRow


class Reading(Protocol):
    """One transaction that only reads. Everything in it raises StorageError where the database cannot be read."""

    async def current_version(self) -> int:
        """The number of the last committed change."""

    def load_all(self) -> AsyncGenerator[list[TenantRow], None]:
        """Every tenant in the order of the ids, some at a time: nobody needs to hold them all as objects."""

    async def changed_since(self, version: int) -> list[TenantRow]:
        """The tenants that changed after `version`, in the order of their changes; purged ones first."""

    async def organization_issuers(self, since: int) -> list[str]:
        """The issuers whose first organization was registered after this version; -1 for all that have or had one."""

    async def load_keys(self, realm_ids: Collection[uuid.UUID]) -> list[StoredKeys]:
        """The stored key sets of these realms."""

    def load_all_keys(self) -> AsyncGenerator[list[StoredKeys], None]:
        """All stored key sets, some at a time."""


class FileMark(Protocol):
    """A number that grows when somebody else wrote to the SQLite file, so that an idle file is not read."""

    async def read(self) -> int:
        """The number now. It means something only beside another one of the same connection. Raises StorageError."""

    def unchanged(self, number: int | None) -> bool:
        """Whether nobody wrote since the number that was `seen`."""

    def seen(self, number: int | None) -> None:
        """The file was read after this number was."""

    async def aclose(self) -> None:
        """Give the connection back."""


class Listening(Protocol):
    """A connection that hears of changes."""

    @property
    def listening(self) -> bool:
        """Whether the server answered on this connection lately."""

    def drop(self) -> None:
        """Give this connection up, and make another one after a pause."""

    async def run(self) -> None:
        """Listen for ever."""


class RegistryStorage(Protocol):
    """The registry in one database. Each write is a transaction of its own; all raise StorageError."""

    @property
    def is_postgresql(self) -> bool:
        """Whether there is a server that notifies."""

    def read(self) -> AbstractAsyncContextManager[Reading]:
        """A transaction that only reads; it never waits for a writer."""

    async def store_keys(self, keys: StoredKeys, *, tell: bool) -> bool:
        """Keep a set that was just fetched; True when it says something new.

        Every replica learns of it then, and with `tell` also of one that says nothing new. A realm that is gone
        meanwhile, or has another issuer or URL, is no error: nothing is kept for it. Older never replaces newer.
        """

    async def set_health(
        self, realm_id: uuid.UUID, *, issuer: str, realm_url: str, health: Health, reason: str | None
    ) -> None:
        """Keep what is observed of a realm with this issuer and URL. Of replicas that see a change, one writes."""

    async def add_rejections(self, counts: Mapping[Refused, int], *, now: datetime) -> None:
        """Add the counts to those that are kept, and let go of the oldest beyond a tenant's hundred."""

    def file_mark(self) -> FileMark | None:
        """A new look at the file; None where it is a server."""

    def listener(self, url: str, *, on_news: Callable[[int], None], on_connect: Callable[[], None]) -> Listening:
        """Whoever listens at this URL of PostgreSQL; see `registry.listener`."""
