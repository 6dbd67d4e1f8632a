"""The statements of tenants and realms. The database enforces uniqueness; `unique` translates its error."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from tenants_api.database.engine import utc_now
from tenants_api.database.pagination import Page, PageRequest, fetch_page
from tenants_api.errors import ApiError
from tenants_api.ids import new_id
from tenants_api.registry.errors import ExternalIdTaken, IssuerTaken, RealmNotFound, SlugTaken, TenantNotFound
from tenants_api.registry.models import OrganizationIssuer, Realm, RoleRuleRow, Tenant
from tenants_api.registry.values import RealmDraft, TenantFilter, TenantState, frozen, names_of
from tenants_api.role_rules import RoleRule


def rule_rows(rules: Sequence[RoleRule]) -> list[RoleRuleRow]:
    return [
        RoleRuleRow(position=position, source=rule.source, value=rule.value, role=rule.role)
        for position, rule in enumerate(rules)
    ]


def rules_of(tenant: Tenant) -> tuple[RoleRule, ...]:
    return tuple(RoleRule(rule.source, rule.value, rule.role) for rule in tenant.role_rules)


def new_realm(draft: RealmDraft) -> Realm:
    realm = Realm(id=new_id(), conditions=[])
    fill_realm(realm, draft=draft)
    return realm


def in_issuer_order(realms: Iterable[Realm]) -> list[Realm]:
    """Sort for inserts, so that two writers with the same issuers do not deadlock."""
    return sorted(realms, key=lambda realm: (realm.issuer, realm.organization))


_MEMBERS = names_of(RealmDraft)


def fill_realm(realm: Realm, *, draft: RealmDraft) -> None:
    for name in _MEMBERS:
        value = getattr(draft, name)
        setattr(realm, name, list(value) if isinstance(value, tuple) else value)
    realm.organization = draft.organization or ""
    realm.audiences = realm.audiences or [draft.client_id]
    realm.updated_at = utc_now()


def registered_draft(realm: Realm) -> RealmDraft:
    """The draft from which a registered realm could be created again."""
    values = {name: frozen(getattr(realm, name)) for name in _MEMBERS}
    return RealmDraft(**values | {"organization": realm.organization or None})


def tenant_fields(tenant: Tenant) -> dict[str, Any]:
    """The fields of a tenant and its realms that an admin sets, for the audit log."""
    return {
        "slug": tenant.slug,
        "name": tenant.name,
        "external_id": tenant.external_id,
        "state": str(tenant.state),
        "metadata": tenant.metadata_,
        "resource_metadata": tenant.resource_metadata,
        "issuers": sorted(realm.issuer for realm in tenant.realms),
        "realms": [realm_fields(realm) for realm in in_issuer_order(tenant.realms)],
        "role_mapping": [{"from": rule.source, "value": rule.value, "role": rule.role} for rule in tenant.role_rules],
    }


def realm_fields(realm: Realm) -> dict[str, Any]:
    """The fields of a realm that an admin sets, for the audit log; the CA bundle by its SHA-256."""
    members = {name: getattr(realm, name) for name in _MEMBERS}
    bundle = realm.ca_bundle
    return {**members, "ca_bundle": f"sha256:{sha256(bundle.encode()).hexdigest()}" if bundle is not None else None}


async def find_tenant(session: AsyncSession, *, ref: str, for_update: bool = False) -> Tenant | None:
    """The tenant of this id or slug, with realms, conditions and rules."""
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
    """One page of the tenants that match, oldest first."""
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
    """Whether the issuer is registered in the other way too: as a whole realm, or now or ever for an organization."""
    whole = exists().where(Realm.issuer == issuer, Realm.organization == "")
    parts = exists().where(OrganizationIssuer.issuer == issuer)
    return bool(await session.scalar(select(whole if organization else parts)))


@asynccontextmanager
async def unique(session: AsyncSession, *, tenant: Tenant, realms: list[Realm]) -> AsyncIterator[None]:
    """Flush the changes of the block. Raises SlugTaken, ExternalIdTaken or IssuerTaken for a broken unique key."""
    yield
    # Read before the flush: after a failed one the rows cannot be read, because the transaction is lost.
    slug, external_id = tenant.slug, tenant.external_id
    issuers = [(realm.issuer, realm.organization) for realm in realms]
    try:
        await session.flush()
    except IntegrityError as error:
        conflict = _conflict(error, slug=slug, external_id=external_id, issuers=issuers)
        if conflict is None:
            raise
        raise conflict from error


def _conflict(
    error: IntegrityError, *, slug: str, external_id: str | None, issuers: list[tuple[str, str]]
) -> ApiError | None:
    match _broken_key(error):
        case "uq_tenants_slug" | "tenants.slug":
            return SlugTaken(slug)
        case "uq_tenants_external_id" | "tenants.external_id":
            return ExternalIdTaken(external_id or "")
        case "uq_realms_issuer_organization" | "realms.issuer, realms.organization" if issuers:
            # Which of several issuers it was is only in PostgreSQL's text.
            text = str(error.orig)
            issuer, organization = next((one for one in issuers if f"=({one[0]}, {one[1]})" in text), issuers[0])
            return IssuerTaken(issuer, organization=organization)
    return None


def _broken_key(error: IntegrityError) -> str | None:
    """The constraint (PostgreSQL) or its columns (SQLite). Values, which a caller chooses, are never parsed."""
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


TENANTS_PER_QUERY = 200


@dataclass(frozen=True, slots=True)
class Owner:
    """The tenant that has a unique value, and its state."""

    slug: str
    state: str


async def tenants_by_slug(session: AsyncSession, *, slugs: Collection[str]) -> dict[str, Tenant]:
    """The tenants of these slugs in any state, with realms and rules but without conditions."""
    query = select(Tenant).options(selectinload(Tenant.realms), selectinload(Tenant.role_rules))
    found = await session.scalars(query.where(Tenant.slug.in_(slugs)).execution_options(populate_existing=True))
    return {tenant.slug: tenant for tenant in found}


async def owners_of_issuers(session: AsyncSession, *, issuers: Collection[str]) -> dict[tuple[str, str], Owner]:
    """The tenants of these issuers, by issuer and organization ('' for the whole realm)."""
    query = select(Realm.issuer, Realm.organization, Tenant.slug, Tenant.state).join(Tenant)
    found = await session.execute(query.where(Realm.issuer.in_(issuers)))
    return {(row.issuer, row.organization): Owner(row.slug, row.state) for row in found}


async def owners_of_external_ids(session: AsyncSession, *, external_ids: Collection[str]) -> dict[str, Owner]:
    """The tenants of these external ids."""
    query = select(Tenant.external_id, Tenant.slug, Tenant.state).where(Tenant.external_id.in_(external_ids))
    return {row.external_id or "": Owner(row.slug, row.state) for row in await session.execute(query)}


async def living_slugs(session: AsyncSession) -> list[str]:
    """The slugs of all tenants that are not deleted, in the order of their bytes on every database."""
    found = await session.scalars(select(Tenant.slug).where(Tenant.state != TenantState.DELETED))
    return sorted(found)  # not by the database, whose order depends on its locale


async def living_tenants(session: AsyncSession) -> AsyncIterator[Sequence[Tenant]]:
    """All tenants that are not deleted, by slug, in batches; one batch is in memory at a time."""
    slugs = await living_slugs(session)
    for start in range(0, len(slugs), TENANTS_PER_QUERY):
        some = slugs[start : start + TENANTS_PER_QUERY]
        found = await tenants_by_slug(session, slugs=some)
        yield [found[slug] for slug in some if slug in found]
        session.expunge_all()
