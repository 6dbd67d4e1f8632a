"""What there is to do: each document beside what the registry holds. Reads the registry, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.cli.gitops.documents import differences, document
from tenants_api.cli.gitops.workbench import Step, Workbench
from tenants_api.cli.options import BulkActivation
from tenants_api.onboarding.drafts import registered_tenant
from tenants_api.registry import bulk
from tenants_api.registry.bulk import Owner
from tenants_api.registry.models import Tenant
from tenants_api.registry.values import TenantState
from tenants_api.strict_json import parse_json

AT_ONCE = 200  # documents beside which the registry is read at once


@dataclass(frozen=True, slots=True)
class Conflict:
    """A document that cannot be applied as the registry is now, and why."""

    line: int
    slug: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Owners:
    issuers: Mapping[tuple[str, str], Owner]
    external_ids: Mapping[str, Owner]


async def make_plan(
    session: AsyncSession, *, bench: Workbench, activate: BulkActivation, prune: bool
) -> list[Conflict]:
    """Decide on every step. Where there are conflicts, nothing should be applied."""
    conflicts: list[Conflict] = []
    for steps in bench.batches(AT_ONCE):
        documents = {step.slug: parse_json(step.document.encode()) for step in steps}
        present = await bulk.tenants_by_slug(session, slugs=list(documents))
        owners = await _owners(session, documents=documents)
        for step in steps:
            conflicts += _conflicts(step, documents[step.slug], owners=owners, bench=bench)
        decided = [_decide(step, documents[step.slug], present.get(step.slug), activate=activate) for step in steps]
        conflicts += [one for one in decided if isinstance(one, Conflict)]
        bench.decide(one for one in decided if isinstance(one, Step))
        session.expunge_all()
    if prune:
        await _prune(session, bench=bench)
    return conflicts


def goal_of(wanted: str | None, *, present: str | None, activate: BulkActivation) -> str:
    """The state that a tenant shall have: the file's, else its own; a new one or a draft is let in if that is asked.

    `never` leaves drafts drafts, whatever the file says: only checks, or an admin who goes without, let tokens in.
    """
    own = None if present == TenantState.DRAFT else present
    if own is None and activate is BulkActivation.NEVER:
        return TenantState.DRAFT
    return wanted or own or TenantState.ACTIVE


def _decide(step: Step, wanted: Any, tenant: Tenant | None, *, activate: BulkActivation) -> Step | Conflict:
    if tenant is None:
        return replace(step, action="create", goal=str(goal_of(step.state, present=None, activate=activate)))
    if tenant.state == TenantState.DELETED:
        return Conflict(step.line, step.slug, "it is deleted: `tenants-api tenants restore` or `purge` it first")
    goal = str(goal_of(step.state, present=tenant.state, activate=activate))
    if goal == TenantState.DRAFT and tenant.state != TenantState.DRAFT:
        return Conflict(step.line, step.slug, f"it is {tenant.state}, and no tenant goes back to draft")
    changes = differences(document(registered_tenant(tenant)), wanted)
    changes += ["state"] if goal != tenant.state else []
    action = "update" if changes else "unchanged"
    return replace(
        step, action=action, goal=goal, tenant_id=str(tenant.id), version=tenant.version, changes=tuple(changes)
    )


async def _owners(session: AsyncSession, *, documents: Mapping[str, Any]) -> _Owners:
    issuers = {issuer for one in documents.values() for issuer, _ in _realms(one)}
    external_ids = {one["external_id"] for one in documents.values() if "external_id" in one}
    return _Owners(
        await bulk.owners_of_issuers(session, issuers=issuers) if issuers else {},
        await bulk.owners_of_external_ids(session, external_ids=external_ids) if external_ids else {},
    )


def _conflicts(step: Step, wanted: Any, *, owners: _Owners, bench: Workbench) -> Iterator[Conflict]:
    """Names that another tenant has and that this file does not take away from it."""
    claims = [(f"the issuer {issuer!r}", owners.issuers.get((issuer, of))) for issuer, of in _realms(wanted)]
    if "external_id" in wanted:
        claims.append((f"the external id {wanted['external_id']!r}", owners.external_ids.get(wanted["external_id"])))
    for what, owner in claims:
        if owner is None or owner.slug == step.slug:
            continue
        if owner.state == TenantState.DELETED:
            yield Conflict(step.line, step.slug, f"{what} is reserved for the deleted tenant {owner.slug!r}: purge it")
        elif bench.owner("slug", owner.slug) is None:
            yield Conflict(step.line, step.slug, f"{what} belongs to {owner.slug!r}, which the file does not name")


async def _prune(session: AsyncSession, *, bench: Workbench) -> None:
    gone = [slug for slug in await bulk.living_slugs(session) if bench.owner("slug", slug) is None]
    for start in range(0, len(gone), AT_ONCE):
        found = await bulk.tenants_by_slug(session, slugs=gone[start : start + AT_ONCE])
        for slug, tenant in sorted(found.items()):
            bench.remove(slug, tenant_id=str(tenant.id), version=tenant.version)
        session.expunge_all()


def _realms(wanted: Any) -> list[tuple[str, str]]:
    return [(realm["issuer"], realm.get("organization", "")) for realm in wanted.get("realms", ())]
