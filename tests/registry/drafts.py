"""Tenants as an admin describes them, for the tests of the registry."""

from __future__ import annotations

from typing import Any

from tenants_api.control import service
from tenants_api.control.recording import create as create_tenant
from tenants_api.database.engine import Database
from tenants_api.registry import repository
from tenants_api.registry.models import Tenant
from tenants_api.registry.values import Actor, Change, RealmDraft, TenantDraft, Transition
from tenants_api.role_rules import RoleRule

CHANGE = Change(Actor("cli", "tests"), request_id="request-1", reason="because")
RULES = (RoleRule("realm", "owner", "admin"), RoleRule("group", "/staff", "viewer"))


def issuer_of(name: str) -> str:
    return f"https://id.example/realms/{name}"


def origin_of(name: str) -> dict[str, str]:
    """What the key set of the realm of this name is fetched for."""
    return {"issuer": issuer_of(name), "realm_url": issuer_of(name)}


def realm(name: str, **changes: Any) -> RealmDraft:
    """A realm of this name."""
    values = {"issuer": issuer_of(name), "realm_url": issuer_of(name), "client_id": "tenants-api", **changes}
    return RealmDraft(**values)


def draft(slug: str, **changes: Any) -> TenantDraft:
    """A tenant with one realm of the same name."""
    values = {"slug": slug, "name": slug.title(), "realms": (realm(slug),), **changes}
    return TenantDraft(**values)


async def create(database: Database, slug: str, **changes: Any) -> Tenant:
    """A tenant, committed."""
    async with database.begin() as session:
        await create_tenant(session, draft=draft(slug, **changes), change=CHANGE)
        return await repository.get_tenant(session, ref=slug)


async def move(database: Database, slug: str, *transitions: Transition) -> Tenant:
    """Its changes of state, each committed; the tenant after the last."""
    tenant = await read(database, slug)
    for transition in transitions:
        async with database.begin() as session:
            tenant = await service.move(session, ref=slug, transition=transition, change=CHANGE)
    return tenant


async def read(database: Database, ref: str) -> Tenant:
    """The tenant as it is stored now."""
    async with database.read() as session:
        return await repository.get_tenant(session, ref=ref)


async def purge(database: Database, slug: str) -> None:
    """Delete and purge, each committed."""
    await move(database, slug, Transition.DELETE)
    async with database.begin() as session:
        await service.purge_tenant(session, ref=slug, change=CHANGE)
