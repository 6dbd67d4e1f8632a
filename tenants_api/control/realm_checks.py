"""The checks of realms for commands: run with no transaction open, stored in the transaction of a command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.clocks import Clocks
from tenants_api.control.checks import Report, SampleToken, check_realm
from tenants_api.control.runner import Runner, after_commit
from tenants_api.database.pagination import PageRequest
from tenants_api.outbound.client import RealmClient
from tenants_api.outbound.targets import TargetPolicy
from tenants_api.outbound.urls import WELL_KNOWN, lower_host
from tenants_api.registry import repository
from tenants_api.registry.conditions import ConditionChange, store_conditions
from tenants_api.registry.errors import RealmNotReady
from tenants_api.registry.keys import store_keys
from tenants_api.registry.models import Realm, Tenant
from tenants_api.registry.repository import registered_draft
from tenants_api.registry.values import ConditionValue, Health, RealmDraft, StoredKeys, TenantDraft, TenantFilter
from tenants_api.replica.stored_keys import to_stored

Reports = Sequence[tuple[Realm, Report]]


class RealmChecks:
    """Runs the checks of realms, and stores their reports and keys in the registry and this replica.

    `reserved` has the issuer of the platform realm, which no tenant may have.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        client: RealmClient,
        policy: TargetPolicy,
        clocks: Clocks,
        sample: Callable[[str], SampleToken],
        reserved: Iterable[str] = (),
    ) -> None:
        self._runner, self._client, self._policy = runner, client, policy
        self._clocks, self._sample, self.reserved = clocks, sample, frozenset(reserved)

    async def preflight(
        self,
        *,
        issuer: str | None,
        realm_url: str | None,
        client_id: str | None,
        sample_token: str | None,
        issuer_check: str = "discovery",
    ) -> Report:
        """Check a realm that is not registered. Stores nothing; a failed check does not raise.

        Raises:
            ValidationFailed: neither an issuer nor a realm URL is given, or one is malformed and no check reports it.
        """
        draft = _preflight_draft(issuer or realm_url or "", realm_url=realm_url, client_id=client_id)
        draft = replace(draft, issuer_check=issuer_check)
        issuer = draft.issuer.removesuffix(WELL_KNOWN)
        taken = issuer in self.reserved or await self._is_registered(issuer)
        sample = self._sample(sample_token) if sample_token is not None else None
        return await check_realm(
            draft, client=self._client, policy=self._policy, clocks=self._clocks, sample=sample, issuer_taken=taken
        )

    async def check(self, draft: RealmDraft, *, sample: SampleToken | None = None) -> Report:
        """Check a realm as it is, or will be, registered. Stores nothing; a failed check does not raise."""
        async with self._runner.database.read() as session:
            shared = await repository.shares_issuer(session, issuer=draft.issuer, organization=draft.organization)
        return await check_realm(
            draft, client=self._client, policy=self._policy, clocks=self._clocks, sample=sample, shared=shared
        )

    async def check_all(self, realms: Sequence[Realm]) -> Reports:
        """Check registered realms."""
        # Sequentially: an onboarding call may use one of the few connections to realms, not all of them.
        return [(realm, await self.check(registered_draft(realm))) for realm in realms]

    async def check_with_sample(self, realms: Sequence[Realm], *, token: str) -> Reports:
        """Check the realms whose issuer the token has, or all if none has it, with the token."""
        sample = self._sample(token)
        named = [realm for realm in realms if realm.issuer == sample.issuer()] or realms
        return [(realm, await self.check(registered_draft(realm), sample=sample)) for realm in named]

    async def passed(self, draft: TenantDraft) -> dict[tuple[str, str], Report]:
        """The reports of a draft's realms by issuer and organization. Raises RealmNotReady."""
        checked = [(one, await self.check(one)) for one in draft.realms]
        if not checked or not all(report.ready for _, report in checked):
            raise not_ready([(one.issuer, report) for one, report in checked])
        return {(one.issuer, one.organization or ""): report for one, report in checked}

    async def store(self, session: AsyncSession, *, ref: str, reports: Reports) -> tuple[Tenant, bool]:
        """Store the reports; the present tenant, and whether the reports are of exactly its present realms.

        Raises:
            TenantNotFound
        """
        tenant = await repository.get_tenant(session, ref=ref, for_update=True)
        current = {(realm.id, realm.version) for realm in enabled(tenant)} == {
            (realm.id, realm.version) for realm, _ in reports
        }
        await self.store_each(session, reports=reports)
        return await repository.get_tenant(session, ref=ref), current

    async def store_each(self, session: AsyncSession, *, reports: Reports) -> None:
        """Store each report with its keys, if the realm still has the version that was checked."""
        for realm, report in reports:
            await store_report(
                session,
                realm=realm,
                report=report,
                conditions=report.conditions,
                health=Health.HEALTHY if report.ready else Health.FAILING,
                now=self._clocks.now(),
            )

    def adopt_keys(self, reports: Reports) -> None:
        """Give this replica the keys of committed reports, so that the first token of a new realm needs no fetch."""
        with after_commit("keys_not_adopted"):
            for realm, report in reports:
                if report.ready and report.fetched is not None:
                    self._runner.replica.adopt_keys(
                        realm.id, issuer=realm.issuer, realm_url=realm.realm_url, fetched=report.fetched,
                        asked_at=report.asked_at,
                    )  # fmt: skip

    async def _is_registered(self, issuer: str) -> bool:
        async with self._runner.database.read() as session:
            page = await repository.list_tenants(session, where=TenantFilter(issuer=issuer), page=PageRequest(limit=1))
        return bool(page.items)


async def store_report(
    session: AsyncSession,
    *,
    realm: Realm,
    report: Report,
    conditions: Sequence[ConditionValue],
    health: Health,
    now: datetime,
) -> tuple[Sequence[ConditionChange], StoredKeys | None] | None:
    """Store a report, and the keys of a realm that is ready; returns the changed conditions and these keys.

    None, and nothing is stored, when the realm has another version or is gone.
    """
    moved = await store_conditions(
        session, realm_id=realm.id, version=realm.version, conditions=conditions, health=health, now=now
    )
    if moved is None:
        return None
    if not report.ready or report.fetched is None:
        return moved, None
    keys = to_stored(
        realm.id,
        issuer=realm.issuer,
        realm_url=realm.realm_url,
        fetched=report.fetched,
        fetched_at=report.asked_at,
    )
    await store_keys(session, keys)
    return moved, keys


def enabled(tenant: Tenant) -> list[Realm]:
    """The enabled realms of a tenant."""
    return [realm for realm in tenant.realms if realm.enabled]


def all_ready(reports: Reports) -> bool:
    """Whether there is a report and every one is ready."""
    return bool(reports) and all(report.ready for _, report in reports)


def not_ready(reports: Sequence[tuple[str, Report]]) -> RealmNotReady:
    """The error for these reports, each with its issuer."""
    failed = next((issuer for issuer, report in reports if not report.ready), None)
    detail = f"the realm {failed!r} failed a check" if failed else "the tenant has no realm"
    return RealmNotReady(detail, report={"ready": False, "realms": [_as_json(*one) for one in reports]})


def _preflight_draft(issuer: str, *, realm_url: str | None, client_id: str | None) -> RealmDraft:
    name = client_id or "(no client_id given)"
    return RealmDraft(issuer=issuer, realm_url=realm_url or lower_host(issuer), client_id=name, audiences=(name,))


def _as_json(issuer: str, report: Report) -> Mapping[str, Any]:
    conditions = [
        {"type": one.type, "status": one.status, "reason": one.reason, "message": one.message}
        for one in report.conditions
    ]
    return {"issuer": issuer, "suggested_issuer": report.suggested_issuer, "conditions": conditions}
