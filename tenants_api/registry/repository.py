"""The SQL of tenants and realms. Uniqueness is the database's to decide; here it becomes our error, in one place."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import ColumnElement, Select, exists, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from tenants_api.errors import ApiError
from tenants_api.paging import Page, PageRequest, fetch_page
from tenants_api.registry.errors import ExternalIdTaken, IssuerTaken, RealmNotFound, SlugTaken, TenantNotFound
from tenants_api.registry.models import Realm, Tenant
from tenants_api.registry.values import TenantFilter


async def find_tenant(session: AsyncSession, *, ref: str, for_update: bool = False) -> Tenant | None:
    """The tenant of this id or slug with all that belongs to it."""
    query = _whole().where(_named(ref)).execution_options(populate_existing=True)
    found: Tenant | None = await session.scalar(query.with_for_update(of=Tenant) if for_update else query)
    return found


async def get_tenant(session: AsyncSession, *, ref: str, for_update: bool = False) -> Tenant:
    """As `find_tenant`. Raises TenantNotFound."""
    tenant = await find_tenant(session, ref=ref, for_update=for_update)
    if tenant is None:
        raise TenantNotFound
    return tenant


async def list_tenants(session: AsyncSession, *, where: TenantFilter, page: PageRequest) -> Page[Tenant]:
    """One page of the tenants that fit, oldest first."""
    return await fetch_page(session, _filtered(_whole(), where=where), column=Tenant.id, page=page)


async def get_realm(session: AsyncSession, *, tenant_id: uuid.UUID, realm_id: uuid.UUID) -> Realm:
    """A realm of this tenant and of no other. Raises RealmNotFound."""
    query = select(Realm).where(Realm.id == realm_id, Realm.tenant_id == tenant_id)
    realm = await session.scalar(
        query.options(selectinload(Realm.conditions)).execution_options(populate_existing=True)
    )
    if realm is None:
        raise RealmNotFound
    return realm


@asynccontextmanager
async def unique(session: AsyncSession, *, tenant: Tenant, realms: list[Realm]) -> AsyncIterator[None]:
    """Flush what the block changed; a broken unique key becomes the error that names it.

    Raises:
        SlugTaken, ExternalIdTaken, IssuerTaken
    """
    slug, external_id = tenant.slug, tenant.external_id
    issuers = [(realm.issuer, realm.organization) for realm in realms]
    try:
        yield
        await session.flush()
    except IntegrityError as error:
        # The transaction is lost with the error; what is taken is read from its text, the same on both databases.
        raise _translated(str(error.orig), slug=slug, external_id=external_id, issuers=issuers) or error from error


def _translated(text: str, *, slug: str, external_id: str | None, issuers: list[tuple[str, str]]) -> ApiError | None:
    if "uq_tenants_slug" in text or "tenants.slug" in text:
        return SlugTaken(slug)
    if "uq_tenants_external_id" in text or "tenants.external_id" in text:
        return ExternalIdTaken(external_id or "")
    if "uq_realms_issuer" in text or "realms.issuer" in text:
        # Which of several it was is in PostgreSQL's text alone.
        issuer, organization = next((one for one in issuers if one[0] in text), issuers[0])
        return IssuerTaken(issuer, organization=organization)
    return None


def _whole() -> Select[Tenant]:
    return select(Tenant).options(
        selectinload(Tenant.realms).selectinload(Realm.conditions), selectinload(Tenant.role_rules)
    )


def _named(ref: str) -> ColumnElement[bool]:
    try:
        return Tenant.id == uuid.UUID(ref)
    except ValueError:
        return Tenant.slug == ref


def _filtered(query: Select[Tenant], *, where: TenantFilter) -> Select[Tenant]:
    if where.state is not None:
        query = query.where(Tenant.state == where.state)
    if where.external_id is not None:
        query = query.where(Tenant.external_id == where.external_id)
    if where.issuer is not None:
        query = query.where(exists().where(Realm.tenant_id == Tenant.id, Realm.issuer == where.issuer))
    if where.health is not None:
        query = query.where(exists().where(Realm.tenant_id == Tenant.id, Realm.health == where.health))
    if where.q is not None:
        query = query.where(
            or_(Tenant.slug.icontains(where.q, autoescape=True), Tenant.name.icontains(where.q, autoescape=True))
        )
    return query
