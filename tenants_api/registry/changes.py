"""How a change in the registry reaches every worker: a version that grows, and a feed that looks at it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import ColumnElement, insert, select, true, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.db import Database
from tenants_api.registry.models import PurgedTenant, Realm, RegistryVersion, RoleRule, Tenant
from tenants_api.registry.values import Rule, TenantState

LOOK_DEADLINE = 30.0  # seconds for reading the version and applying what changed
log = structlog.get_logger("tenants_api.registry")


@dataclass(frozen=True, slots=True)
class RealmRow:
    """What the verifier needs of a realm row; `organization` None is the whole realm."""

    id: uuid.UUID
    issuer: str
    organization: str | None
    realm_url: str
    client_id: str
    audiences: tuple[str, ...]
    authorized_parties: tuple[str, ...]
    algorithms: tuple[str, ...]
    login_client_id: str | None
    docs_client_id: str | None
    ca_bundle: str | None
    enabled: bool
    not_before: int


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A tenant with its realms and rules as plain values. Of a purged one only the id is left, as state `deleted`."""

    id: uuid.UUID
    slug: str
    name: str
    state: str
    changed_version: int
    rules: tuple[Rule, ...]
    realms: tuple[RealmRow, ...]


async def current_version(session: AsyncSession) -> int:
    """The number of the last committed change."""
    return (await session.execute(select(RegistryVersion.version))).scalar_one()


async def bump_version(session: AsyncSession) -> int:
    """The number of this change. The row's lock makes writers queue, so versions commit in their order."""
    statement = update(RegistryVersion).values(version=RegistryVersion.version + 1).returning(RegistryVersion.version)
    return (await session.execute(statement)).scalar_one()


async def load_all(session: AsyncSession) -> list[TenantRow]:
    """Every tenant."""
    return await _load(session, where=true())


async def changed_since(session: AsyncSession, *, version: int) -> list[TenantRow]:
    """The tenants that changed after `version`, in the order of their changes; purged ones first.

    First, because their slugs and issuers may have been given to others since.
    """
    purged = await session.scalars(select(PurgedTenant).where(PurgedTenant.changed_version > version))
    gone = [TenantRow(row.id, "", "", TenantState.DELETED, row.changed_version, (), ()) for row in purged]
    return gone + await _load(session, where=Tenant.changed_version > version)


async def mark_purged(session: AsyncSession, *, tenant_id: uuid.UUID, version: int) -> None:
    """Leave a trace of a purged tenant: a replica that missed its deletion would serve it for ever."""
    await session.execute(insert(PurgedTenant).values(id=tenant_id, changed_version=version))


async def _load(session: AsyncSession, *, where: ColumnElement[bool]) -> list[TenantRow]:
    """By columns, not by objects: the ORM takes twelve times as long for 100,000 tenants."""
    tenants = await session.execute(
        select(Tenant.id, Tenant.slug, Tenant.name, Tenant.state, Tenant.changed_version)
        .where(where)
        .order_by(Tenant.changed_version)
    )
    realms: dict[uuid.UUID, list[RealmRow]] = defaultdict(list)
    columns = (getattr(Realm, name) for name in RealmRow.__slots__)
    for row in await session.execute(select(Realm.tenant_id, *columns).join(Tenant).where(where).order_by(Realm.id)):
        realms[row.tenant_id].append(_realm_row(row))
    rules: dict[uuid.UUID, list[Rule]] = defaultdict(list)
    found = select(RoleRule.tenant_id, RoleRule.source, RoleRule.value, RoleRule.role).join(
        Tenant, Tenant.id == RoleRule.tenant_id
    )
    for tenant_id, *rule in await session.execute(found.where(where).order_by(RoleRule.position)):
        rules[tenant_id].append(Rule(*rule))
    return [TenantRow(*row, tuple(rules.get(row.id, ())), tuple(realms.get(row.id, ()))) for row in tenants]


def _realm_row(row: Any) -> RealmRow:
    values = {name: getattr(row, name) for name in RealmRow.__slots__}
    for name in ("audiences", "authorized_parties", "algorithms"):
        values[name] = tuple(values[name])
    return RealmRow(**{**values, "organization": values["organization"] or None})


class ChangeFeed:
    """Looks at the registry version every `interval` seconds and calls `on_change` when it has moved."""

    def __init__(self, database: Database, *, interval: float, on_change: Callable[[int], Awaitable[None]]) -> None:
        self._database, self._interval, self._on_change = database, interval, on_change
        self._looking = asyncio.Lock()
        self.version = -1
        self.last_seen = 0.0

    @property
    def alive(self) -> bool:
        """Whether the database answered lately; never before the first look, for the clock may count from boot."""
        return self.version >= 0 and self.lag < max(5.0, 5 * self._interval)

    @property
    def lag(self) -> float:
        """Seconds since the version was last read."""
        return time.monotonic() - self.last_seen

    def loaded(self, version: int) -> None:
        """The registry was just read as a whole at this version: that counts as a look."""
        self.version, self.last_seen = version, time.monotonic()

    async def run(self) -> None:
        """Look for ever; a database that is away is looked at again."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                async with asyncio.timeout(LOOK_DEADLINE):
                    await self.poke()
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("registry_not_read", error=type(error).__name__, lag_seconds=round(self.lag, 1))
            except Exception as error:
                # Nobody waits for this loop: if a mistake of ours ended it, this worker would follow no change any
                # more, and a suspended tenant would go on here. It goes on instead, and says what happened.
                log.exception("registry_not_applied", error=type(error).__name__)

    async def poke(self) -> None:
        """Look now.

        Raises:
            SQLAlchemyError, OSError: the database cannot be read.
        """
        async with self._looking:  # one after the other: two that overtake each other would see the version fall
            async with self._database.read() as session:
                version = await current_version(session)
            if version != self.version:
                await self._on_change(version)
                self.version = version
            self.last_seen = time.monotonic()
