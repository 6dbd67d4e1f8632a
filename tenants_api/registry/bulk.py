"""The registry read in bulk: many tenants in few queries, for files and comparisons. Changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from tenants_api.registry.models import Realm, Tenant
from tenants_api.registry.values import TenantState

AT_ONCE = 200  # tenants in one query


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a name that must be unique, and in which state."""

    slug: str
    state: str


async def tenants_by_slug(session: AsyncSession, *, slugs: Collection[str]) -> dict[str, Tenant]:
    """The tenants of these slugs in any state, with realms and rules but without conditions."""
    query = select(Tenant).options(selectinload(Tenant.realms), selectinload(Tenant.role_rules))
    found = await session.scalars(query.where(Tenant.slug.in_(slugs)).execution_options(populate_existing=True))
    return {tenant.slug: tenant for tenant in found}


async def owners_of_issuers(session: AsyncSession, *, issuers: Collection[str]) -> dict[tuple[str, str], Owner]:
    """Who has these issuers, by issuer and organization ('' for the whole realm)."""
    query = select(Realm.issuer, Realm.organization, Tenant.slug, Tenant.state).join(Tenant)
    found = await session.execute(query.where(Realm.issuer.in_(issuers)))
    return {(row.issuer, row.organization): Owner(row.slug, row.state) for row in found}


async def owners_of_external_ids(session: AsyncSession, *, external_ids: Collection[str]) -> dict[str, Owner]:
    """Who has these external ids."""
    query = select(Tenant.external_id, Tenant.slug, Tenant.state).where(Tenant.external_id.in_(external_ids))
    return {row.external_id or "": Owner(row.slug, row.state) for row in await session.execute(query)}


async def living_slugs(session: AsyncSession) -> list[str]:
    """The slugs of all tenants that are not deleted, in the order of their bytes on every database."""
    found = await session.scalars(select(Tenant.slug).where(Tenant.state != TenantState.DELETED))
    return sorted(found)  # not by the database: its order of texts depends on its locale


async def living_tenants(session: AsyncSession) -> AsyncIterator[Sequence[Tenant]]:
    """All tenants that are not deleted, by slug, in batches; one batch is in memory at a time."""
    slugs = await living_slugs(session)
    for start in range(0, len(slugs), AT_ONCE):
        some = slugs[start : start + AT_ONCE]
        found = await tenants_by_slug(session, slugs=some)
        yield [found[slug] for slug in some if slug in found]
        session.expunge_all()
