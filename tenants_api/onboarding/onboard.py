"""Onboarding: reserve the row, check with no transaction open, then store and activate in one transaction.

A crash or a failed check leaves a `draft` with its conditions; `check_tenant` and `activate` go on from there.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.db import Database
from tenants_api.errors import ApiError
from tenants_api.keycloak.fetch import RealmClient
from tenants_api.keycloak.targets import TargetPolicy
from tenants_api.keycloak.urls import WELL_KNOWN, lower_host
from tenants_api.onboarding.checks import Report, check_realm
from tenants_api.onboarding.drafts import members_of, realm_draft
from tenants_api.onboarding.sample import SampleToken
from tenants_api.registry import conditions, repository, service
from tenants_api.registry import keys as registry_keys
from tenants_api.registry.errors import IssuerTaken, RealmNotReady
from tenants_api.registry.models import Realm, Tenant
from tenants_api.registry.rows import registered_draft
from tenants_api.registry.values import (
    Change,
    Health,
    PageRequest,
    RealmDraft,
    TenantDraft,
    TenantFilter,
    TenantState,
    Transition,
)
from tenants_api.trust import Trust, to_stored
from tenants_api.verification.clocks import Clocks

Activation = Literal["when_ready", "now", "never"]
# What decides where keys come from and which tokens are good: after a change of these the checks run again.
_CHECKED = frozenset({
    "issuer", "realm_url", "client_id", "audiences", "algorithms", "ca_bundle", "organization", "enabled",
    "issuer_check",
})  # fmt: skip
MAX_CHANGES = 3  # of a tenant while it is checked, after which its activation gives up
log = structlog.get_logger("tenants_api.onboarding")


class Onboarding:
    """The use cases that need both the registry and the realm. Each opens its own transactions."""

    def __init__(
        self,
        database: Database,
        *,
        trust: Trust,
        client: RealmClient,
        policy: TargetPolicy,
        clocks: Clocks,
        sample: Callable[[str], SampleToken],
        reserved_issuers: Iterable[str] = (),
    ) -> None:
        self._database, self._trust, self._client, self._policy = database, trust, client, policy
        self._clocks, self._sample = clocks, sample
        self._reserved = frozenset(reserved_issuers)

    async def preflight(
        self,
        *,
        issuer: str | None,
        realm_url: str | None,
        client_id: str | None,
        sample_token: str | None,
        issuer_check: str = "discovery",
    ) -> Report:
        """Check a realm that is not registered; stores nothing, and failing checks do not raise.

        Raises:
            ValidationFailed: neither an issuer nor a realm URL was given, or one is not well-formed in a way that
                no check can report.
        """
        draft = _preflight_draft(issuer or realm_url or "", realm_url=realm_url, client_id=client_id)
        draft = replace(draft, issuer_check=issuer_check)
        issuer = draft.issuer.removesuffix(WELL_KNOWN)
        taken = issuer in self._reserved or await self._is_registered(issuer)
        sample = self._sample(sample_token) if sample_token is not None else None
        return await check_realm(
            draft, client=self._client, policy=self._policy, clocks=self._clocks, sample=sample, issuer_taken=taken
        )

    async def onboard(self, draft: TenantDraft, *, activate: Activation, change: Change) -> Tenant:
        """Create a tenant with its realms and activate it as asked.

        Raises:
            SlugTaken, ExternalIdTaken, IssuerTaken: the database says so.
            RealmNotReady: with `now`, a check failed; nothing is stored then.
        """
        self.refuse_reserved(draft.realms)
        if activate == "now":
            return await self._onboard_now(draft, change=change)
        async with self._database.begin() as session:
            tenant = await service.create_tenant(session, draft=draft, change=change)
        # It is committed: whatever fails from here on leaves a draft, and is no failure of its creation.
        return await self.check_after(tenant, activate=activate == "when_ready", change=change)

    async def check_tenant(self, ref: str, *, change: Change, activate: bool = False) -> Tenant:
        """Run the checks of all enabled realms of a tenant and store what they found; activate a ready draft if asked.

        Raises:
            TenantNotFound
        """
        return await self._check_and_store(await self._read(ref), activate=activate, change=change)

    async def check_after(self, tenant: Tenant, *, change: Change, activate: bool = False) -> Tenant:
        """As `check_tenant`, after a change of the tenant that is committed: what fails now is logged, never raised.

        The answer is the tenant as it was committed where nothing newer could be stored.
        """
        try:
            return await self._check_and_store(tenant, activate=activate, change=change)
        except (ApiError, SQLAlchemyError, OSError) as error:
            log.warning("realms_not_checked", tenant=tenant.slug, error=type(error).__name__)
            await self._trust.catch_up()
            return tenant

    async def activate(self, ref: str, *, if_match: int | None = None, change: Change) -> Tenant:
        """Activate a draft whose checks pass.

        Raises:
            RealmNotReady: a check failed, or the tenant was changed again and again while it was checked; what was
                found of its present realms is stored.
            InvalidStateTransition, EtagMismatch: see `registry.service.move`.
        """
        for _ in range(MAX_CHANGES):
            reports = await self._reports(_enabled(await self._read(ref)))
            ready = bool(reports) and all(report.ready for _, report in reports)
            async with self._database.begin() as session:
                tenant, current = await self._store(session, ref=ref, reports=reports)
                if ready and current:
                    tenant = await service.move(
                        session, ref=ref, transition=Transition.ACTIVATE, if_match=if_match, change=change
                    )
            if current:
                break
        if not ready or not current:
            raise _not_ready([(realm.issuer, report) for realm, report in reports])
        await self._publish(reports)
        return tenant

    async def add_realm(self, ref: str, draft: RealmDraft, *, change: Change) -> Realm:
        """Add a realm to a tenant and check it at once; it serves when the tenant is active.

        Raises:
            TenantNotFound, IssuerTaken: see `registry.service.add_realm`.
        """
        self.refuse_reserved((draft,))
        async with self._database.begin() as session:
            realm = await service.add_realm(session, ref=ref, draft=draft, change=change)
        reports: list[tuple[Realm, Report]] = []
        try:
            reports = await self._reports([realm])
            async with self._database.begin() as session:
                await self._store_each(session, reports=reports)
                checked = await service.get_realm(session, ref=ref, realm_id=realm.id)
            realm = checked  # only now: what a commit that fails has read is no answer
        except (ApiError, SQLAlchemyError, OSError) as error:
            log.warning("realms_not_checked", realm_id=str(realm.id), error=type(error).__name__)
            reports = []
        await self._publish(reports)
        return realm

    async def change_realm(
        self, ref: str, realm_id: uuid.UUID, patch: Mapping[str, Any], *, if_match: int | None, change: Change
    ) -> Realm:
        """Change a realm by merge patch (RFC 7396); what decides about its tokens is checked again.

        What followed from the issuer or the client id goes on following it.

        Raises:
            ValidationFailed, TenantNotFound, RealmNotFound, EtagMismatch, IssuerTaken
        """
        async with self._database.begin() as session:
            before = await service.get_realm(session, ref=ref, realm_id=realm_id)
            draft = realm_draft(policy=self._policy, **members_of(registered_draft(before)) | dict(patch))
            self.refuse_reserved((draft,))
            # What was merged must be what is stored still, also for a caller who expects no version.
            expected = before.version if if_match is None else if_match
            realm = await service.update_realm(
                session, ref=ref, realm_id=realm_id, draft=draft, if_match=expected, change=change
            )
            tenant = await service.get_tenant(session, ref=ref)
        await self._trust.catch_up()
        if _CHECKED.isdisjoint(patch):
            return realm
        checked = await self.check_after(tenant, change=change)
        return next((one for one in checked.realms if one.id == realm_id), realm)

    async def replace_now(self, ref: str, draft: TenantDraft, *, if_match: int | None, change: Change) -> Tenant:
        """Make a draft what is described and activate it, in one transaction after the checks of what is described.

        Raises:
            RealmNotReady: a check failed; nothing was changed then.
            InvalidStateTransition, and what `registry.service.replace_tenant` raises.
        """
        checked = await self._checked(draft)
        async with self._database.begin() as session:
            tenant = await service.replace_tenant(session, ref=ref, draft=draft, if_match=if_match, change=change)
            reports = await self._activate(session, tenant, checked=checked, change=change)
            tenant = await service.get_tenant(session, ref=ref)
        await self._publish(reports)
        return tenant

    async def _onboard_now(self, draft: TenantDraft, *, change: Change) -> Tenant:
        checked = await self._checked(draft)
        async with self._database.begin() as session:
            tenant = await service.create_tenant(session, draft=draft, change=change)
            reports = await self._activate(session, tenant, checked=checked, change=change)
            tenant = await service.get_tenant(session, ref=str(tenant.id))
        await self._publish(reports)
        return tenant

    async def _checked(self, draft: TenantDraft) -> dict[tuple[str, str], Report]:
        """The reports of a draft's realms by issuer and organization. Raises RealmNotReady."""
        checked = [(one, await self._check(one)) for one in draft.realms]
        if not checked or not all(report.ready for _, report in checked):
            raise _not_ready([(one.issuer, report) for one, report in checked])
        return {(one.issuer, one.organization or ""): report for one, report in checked}

    async def _activate(
        self, session: AsyncSession, tenant: Tenant, *, checked: Mapping[tuple[str, str], Report], change: Change
    ) -> list[tuple[Realm, Report]]:
        """Store the reports of what this very transaction has written, and activate the tenant."""
        reports = [(realm, checked[realm.issuer, realm.organization]) for realm in tenant.realms]
        await self._store_each(session, reports=reports)
        await service.move(session, ref=str(tenant.id), transition=Transition.ACTIVATE, change=change)
        return reports

    async def _check_and_store(self, tenant: Tenant, *, activate: bool, change: Change) -> Tenant:
        ref = str(tenant.id)
        reports = await self._reports(_enabled(tenant))
        ready = bool(reports) and all(report.ready for _, report in reports)
        async with self._database.begin() as session:
            tenant, current = await self._store(session, ref=ref, reports=reports)
            if activate and ready and current and tenant.state == TenantState.DRAFT:
                tenant = await service.move(session, ref=ref, transition=Transition.ACTIVATE, change=change)
        await self._publish(reports)
        return tenant

    async def _reports(self, realms: Sequence[Realm]) -> list[tuple[Realm, Report]]:
        # One after the other: an onboarding call may hold one of the few connections to realms, not all of them.
        return [(realm, await self._check(registered_draft(realm))) for realm in realms]

    async def _check(self, draft: RealmDraft) -> Report:
        async with self._database.read() as session:
            shared = await repository.shares_issuer(session, issuer=draft.issuer, organization=draft.organization)
        return await check_realm(draft, client=self._client, policy=self._policy, clocks=self._clocks, shared=shared)

    async def _store(
        self, session: AsyncSession, *, ref: str, reports: Sequence[tuple[Realm, Report]]
    ) -> tuple[Tenant, bool]:
        """Store the reports; the tenant as it is now, and whether they speak of just the realms that it has now.

        Raises:
            TenantNotFound
        """
        tenant = await repository.get_tenant(session, ref=ref, for_update=True)
        current = {(realm.id, realm.version) for realm in _enabled(tenant)} == {
            (realm.id, realm.version) for realm, _ in reports
        }
        await self._store_each(session, reports=reports)
        return await service.get_tenant(session, ref=ref), current

    async def _store_each(self, session: AsyncSession, *, reports: Sequence[tuple[Realm, Report]]) -> None:
        now = self._clocks.now()
        for realm, report in reports:
            health = Health.HEALTHY if report.ready else Health.FAILING
            kept = await conditions.store_conditions(
                session, realm_id=realm.id, version=realm.version, conditions=report.conditions, health=health, now=now
            )
            if kept is not None and report.ready and report.fetched is not None:
                await registry_keys.store_keys(
                    session,
                    to_stored(
                        realm.id, issuer=realm.issuer, realm_url=realm.realm_url, fetched=report.fetched,
                        fetched_at=report.asked_at,
                    ),
                )  # fmt: skip

    async def _publish(self, reports: Sequence[tuple[Realm, Report]]) -> None:
        """This worker is right at once, and the first token of a new realm needs no fetch."""
        await self._trust.catch_up()
        for realm, report in reports:
            if report.ready and report.fetched is not None:
                self._trust.adopt_keys(
                    realm.id, issuer=realm.issuer, realm_url=realm.realm_url, fetched=report.fetched,
                    asked_at=report.asked_at,
                )  # fmt: skip

    async def _read(self, ref: str) -> Tenant:
        async with self._database.read() as session:
            return await service.get_tenant(session, ref=ref)

    async def _is_registered(self, issuer: str) -> bool:
        async with self._database.read() as session:
            page = await service.list_tenants(session, where=TenantFilter(issuer=issuer), page=PageRequest(limit=1))
        return bool(page.items)

    def refuse_reserved(self, drafts: Iterable[RealmDraft]) -> None:
        """For callers that change realms past this class. Raises IssuerTaken for the platform realm's issuer."""
        for draft in drafts:
            if draft.issuer in self._reserved:
                # The platform realm's users administer this API; a tenant must never be able to stand beside them.
                raise IssuerTaken(draft.issuer)


def _enabled(tenant: Tenant) -> list[Realm]:
    return [realm for realm in tenant.realms if realm.enabled]


def _preflight_draft(issuer: str, *, realm_url: str | None, client_id: str | None) -> RealmDraft:
    name = client_id or "(no client_id given)"
    return RealmDraft(issuer=issuer, realm_url=realm_url or lower_host(issuer), client_id=name, audiences=(name,))


def _not_ready(reports: Sequence[tuple[str, Report]]) -> RealmNotReady:
    failed = next((issuer for issuer, report in reports if not report.ready), None)
    detail = f"the realm {failed!r} failed a check" if failed else "the tenant has no realm"
    return RealmNotReady(detail, report={"ready": False, "realms": [_as_json(*one) for one in reports]})


def _as_json(issuer: str, report: Report) -> dict[str, Any]:
    conditions = [
        {"type": one.type, "status": one.status, "reason": one.reason, "message": one.message}
        for one in report.conditions
    ]
    return {"issuer": issuer, "suggested_issuer": report.suggested_issuer, "conditions": conditions}
