"""What a replica needs of a database; `sql_storage` implements it. Knows no SQLAlchemy."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from tenants_api.registry.values import Health, LearnedConditions, Refused, StoredKeys, TenantRow


class Reading(Protocol):
    """One transaction that only reads. All methods raise StorageError."""

    async def current_version(self) -> int:
        """The version of the last committed change."""

    def load_all(self) -> AsyncGenerator[list[TenantRow], None]:
        """Every tenant in the order of the ids, in batches."""

    async def changed_since(self, version: int) -> list[TenantRow]:
        """The tenants that changed after `version`, in the order of their changes; purged ones first."""

    async def organization_issuers(self, since: int) -> list[str]:
        """The issuers whose first organization, present or past, was registered after this version; -1 for all."""

    async def load_keys(self, realm_ids: Collection[uuid.UUID]) -> list[StoredKeys]:
        """The stored key sets of these realms."""

    def load_all_keys(self) -> AsyncGenerator[list[StoredKeys], None]:
        """All stored key sets, in batches."""


class FileMark(Protocol):
    """A counter that grows when another connection wrote to the SQLite file, so that an idle file is not read."""

    async def read(self) -> int:
        """The counter now, comparable only within one connection. Raises StorageError."""

    def unchanged(self, number: int | None) -> bool:
        """Whether the counter equals the last `seen` one."""

    def seen(self, number: int | None) -> None:
        """Record that the file was read at this counter."""

    async def aclose(self) -> None:
        """Close the connection."""


class Listening(Protocol):
    """A connection that receives notifications of changes."""

    @property
    def listening(self) -> bool:
        """Whether the server answered on this connection lately."""

    def drop(self) -> None:
        """Close this connection; another one is opened after a pause."""

    async def run(self) -> None:
        """Listen for ever."""


class RegistryStorage(Protocol):
    """The registry in one database. Each write is a transaction of its own; all raise StorageError."""

    @property
    def is_postgresql(self) -> bool:
        """Whether the database can send notifications."""

    def read(self) -> AbstractAsyncContextManager[Reading]:
        """A transaction that only reads; it never waits for a writer."""

    async def store_keys(self, keys: StoredKeys, *, notify: bool) -> bool:
        """Store a set that was just fetched; True when it differs from the stored one.

        All replicas are notified then, and with `notify` in any case. Nothing is stored when the realm was removed
        meanwhile, has another issuer or URL, or has a newer set.
        """

    async def set_health(
        self, realm_id: uuid.UUID, *, issuer: str, realm_url: str, health: Health, reason: str | None
    ) -> None:
        """Store the health of a realm with this issuer and URL; of several replicas one records the change."""

    async def add_rejections(self, counts: Mapping[Refused, int], *, now: datetime) -> None:
        """Add the counts to the stored ones, and delete a tenant's oldest ones beyond a hundred."""

    async def learn_conditions(self, learned: Sequence[LearnedConditions], *, now: datetime) -> set[uuid.UUID]:
        """Store conditions that traffic showed; returns the realms whose tenant has another version by now."""

    def file_mark(self) -> FileMark | None:
        """A new `FileMark`; None where the database is not a file."""

    def listener(self, url: str, *, on_notify: Callable[[int], None], on_connect: Callable[[], None]) -> Listening:
        """A listener at this URL of PostgreSQL; see `replica.listener`."""
