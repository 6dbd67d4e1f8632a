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
from tenants_api.keyset import fetch_page
from tenants_api.paging import Page, PageRequest
from tenants_api.registry.errors import ExternalIdTaken, IssuerTaken, RealmNotFound, SlugTaken, TenantNotFound
from tenants_api.registry.models import OrganizationIssuer, Realm, Tenant
from tenants_api.registry.values import TenantFilter


async def find_tenant(session: AsyncSession, *, ref: str, for_update: bool = False) -> Tenant | None:
    """The tenant of this id or slug with all that belongs to it."""
    query = _whole().where(_named(ref)).execution_options(populate_existing=True)
    found: Tenant | None = await session.scalar(
        query.with_for_update(of=Tenant, key_share=True) if for_update else query
    )
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


async def shares_issuer(session: AsyncSession, *, issuer: str, organization: str | None) -> bool:
    """Whether the issuer is registered in both ways: as a whole realm, and now or ever for an organization of it."""
    whole = exists().where(Realm.issuer == issuer, Realm.organization == "")
    parts = exists().where(OrganizationIssuer.issuer == issuer)
    return bool(await session.scalar(select(whole if organization else parts)))


@asynccontextmanager
async def unique(session: AsyncSession, *, tenant: Tenant, realms: list[Realm]) -> AsyncIterator[None]:
    """Flush what the block changed; a broken unique key becomes the error that names it.

    Raises:
        SlugTaken, ExternalIdTaken, IssuerTaken
    """
    yield
    # Read before the flush: the rows cannot be read any more once it has failed, for the transaction is lost with it.
    slug, external_id = tenant.slug, tenant.external_id
    issuers = [(realm.issuer, realm.organization) for realm in realms]
    try:
        await session.flush()
    except IntegrityError as error:
        taken = _taken(error, slug=slug, external_id=external_id, issuers=issuers)
        if taken is None:
            raise
        raise taken from error


def _taken(
    error: IntegrityError, *, slug: str, external_id: str | None, issuers: list[tuple[str, str]]
) -> ApiError | None:
    match _broken_key(error):
        case "uq_tenants_slug" | "tenants.slug":
            return SlugTaken(slug)
        case "uq_tenants_external_id" | "tenants.external_id":
            return ExternalIdTaken(external_id or "")
        case "uq_realms_issuer_organization" | "realms.issuer, realms.organization" if issuers:
            # Which of several it was is in PostgreSQL's text alone.
            text = str(error.orig)
            issuer, organization = next((one for one in issuers if f"=({one[0]}, {one[1]})" in text), issuers[0])
            return IssuerTaken(issuer, organization=organization)
    return None


def _broken_key(error: IntegrityError) -> str | None:
    """PostgreSQL names the constraint, SQLite its columns. Values, which a caller chooses, are never looked at."""
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is not None:
        name: str | None = diagnosis.constraint_name
        return name
    return str(error.orig).removeprefix("UNIQUE constraint failed: ")


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
