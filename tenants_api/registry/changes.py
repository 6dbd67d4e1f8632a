"""The statements of the change feed: the registry version, and the tenants that changed since a version."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Collection
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, func, insert, select, true, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from tenants_api.database.engine import upsert
from tenants_api.registry.models import (
    OrganizationIssuer,
    PurgedTenant,
    Realm,
    RegistryVersion,
    RoleRuleRow,
    Tenant,
)
from tenants_api.registry.values import CHANNEL, RealmRow, TenantRow, TenantState, frozen, names_of
from tenants_api.role_rules import RoleRule


async def lock_tenant_of(session: AsyncSession, *, realm_id: uuid.UUID) -> uuid.UUID | None:
    """Lock the tenant of this realm until the transaction ends; returns its id, None if the realm does not exist."""
    query = select(Tenant.id).join(Realm, Realm.tenant_id == Tenant.id).where(Realm.id == realm_id)
    # `key_share` (PostgreSQL: FOR NO KEY UPDATE) does not block writes of rows that refer to the tenant, such as items.
    found: uuid.UUID | None = await session.scalar(query.with_for_update(of=Tenant, key_share=True))
    return found


# Makes the condition of a query from its column with tenants' ids.
Within = Callable[[InstrumentedAttribute[uuid.UUID]], ColumnElement[bool]]
_REALM = names_of(RealmRow)
REGISTRY_BATCH_SIZE = 1000  # tenants in one read, ids in one query: every database has a bound on parameters


async def current_version(session: AsyncSession) -> int:
    """The version of the last committed change."""
    return (await session.execute(select(RegistryVersion.version))).scalar_one()


async def bump_version(session: AsyncSession, *, tenant_id: uuid.UUID) -> int:
    """The version of this change of a tenant. The row's lock serializes writers, so versions commit in their order.

    PostgreSQL sends the notification when the transaction commits.
    """
    statement = update(RegistryVersion).values(version=RegistryVersion.version + 1).returning(RegistryVersion.version)
    version = (await session.execute(statement)).scalar_one()
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(select(func.pg_notify(CHANNEL, f"{version} {tenant_id}")))
    return version


async def load_all(session: AsyncSession) -> AsyncGenerator[list[TenantRow], None]:
    """Every tenant in the order of the ids, in batches."""
    where: ColumnElement[bool] = true()
    while ids := (
        await session.scalars(select(Tenant.id).where(where).order_by(Tenant.id).limit(REGISTRY_BATCH_SIZE))
    ).all():
        first, last = ids[0], ids[-1]
        yield await _load(session, within=partial(_between, first=first, last=last), order=Tenant.id)
        where = Tenant.id > last


async def changed_since(session: AsyncSession, *, version: int) -> list[TenantRow]:
    """The tenants that changed after `version`, in the order of their changes; purged ones first."""
    # First, because their slugs and issuers may belong to other tenants since.
    found = await session.scalars(select(PurgedTenant).where(PurgedTenant.changed_version > version))
    purged = [TenantRow(row.id, "", "", TenantState.DELETED, row.changed_version, False, (), ()) for row in found]
    changed = select(Tenant.id).where(Tenant.changed_version > version)
    return purged + await _load(session, within=lambda tenant_id: tenant_id.in_(changed), order=Tenant.changed_version)


async def organization_issuers(session: AsyncSession, *, since: int) -> list[str]:
    """The issuers whose first organization was registered after this version."""
    query = select(OrganizationIssuer.issuer).where(OrganizationIssuer.changed_version > since)
    return list(await session.scalars(query))


async def mark_organization_issuers(session: AsyncSession, issuers: Collection[str], *, version: int) -> None:
    """Record for ever that an organization was registered on these issuers."""
    for issuer in sorted(issuers):  # in one order for all writers, which avoids deadlocks
        values = {"issuer": issuer, "changed_version": version}
        await session.execute(upsert(session, OrganizationIssuer).values(values).on_conflict_do_nothing())


async def mark_purged(session: AsyncSession, *, tenant_id: uuid.UUID, version: int) -> None:
    """Record a purged tenant, for replicas that missed its deletion."""
    await session.execute(insert(PurgedTenant).values(id=tenant_id, changed_version=version))


async def _load(session: AsyncSession, *, within: Within, order: InstrumentedAttribute[Any]) -> list[TenantRow]:
    # By columns, not by ORM objects, which take twelve times as long for 100,000 tenants.
    tenants = await session.execute(
        select(Tenant.id, Tenant.slug, Tenant.name, Tenant.state, Tenant.changed_version, Tenant.resource_metadata)
        .where(within(Tenant.id))
        .order_by(order)
    )
    realms: dict[uuid.UUID, list[RealmRow]] = defaultdict(list)
    columns = (getattr(Realm, name) for name in _REALM)
    found = select(Realm.tenant_id, *columns).where(within(Realm.tenant_id)).order_by(Realm.id)
    for tenant_id, *values in await session.execute(found):
        members = dict(zip(_REALM, map(frozen, values), strict=True))
        realms[tenant_id].append(RealmRow(**members | {"organization": members["organization"] or None}))
    rules: dict[uuid.UUID, list[RoleRule]] = defaultdict(list)
    query = select(RoleRuleRow.tenant_id, RoleRuleRow.source, RoleRuleRow.value, RoleRuleRow.role)
    for tenant_id, *rule in await session.execute(
        query.where(within(RoleRuleRow.tenant_id)).order_by(RoleRuleRow.tenant_id, RoleRuleRow.position)
    ):
        rules[tenant_id].append(RoleRule(*rule))
    return [TenantRow(*row, tuple(rules.get(row.id, ())), tuple(realms.get(row.id, ()))) for row in tenants]


def _between(tenant_id: InstrumentedAttribute[uuid.UUID], *, first: uuid.UUID, last: uuid.UUID) -> ColumnElement[bool]:
    return tenant_id.between(first, last)
