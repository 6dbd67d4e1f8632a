"""Repeats the checks of every active realm, also of an unused one, so that conditions and health are current.

Replicas share the work by claiming realms in the database. A realm whose key set changed its health comes first. The
reconciler never changes a tenant's state.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from tenants_api.clocks import Clocks
from tenants_api.control.checks import Report, check_realm
from tenants_api.control.realm_checks import store_report
from tenants_api.database.engine import Database
from tenants_api.outbound.client import RealmClient
from tenants_api.outbound.targets import TargetPolicy
from tenants_api.registry import conditions
from tenants_api.registry.models import Realm
from tenants_api.registry.repository import registered_draft, shares_issuer
from tenants_api.registry.values import ConditionValue, Health
from tenants_api.replica.replica import RegistryReplica

TICK_SECONDS = 5.0  # between two batches, ± 50 %: replicas do not run in step
REALM_BATCH_SIZE = 20
CONCURRENT_CHECKS = 4
# With these reasons the realm is not the registered one, whatever keys are stored.
_FATAL = ("RealmDisabled", "IssuerMismatch", "IssuerTaken")
log = structlog.get_logger("tenants_api.control")


class Reconciler:
    """`interval` is the seconds between two checks of one realm, `stale_limit` those for which stored keys serve."""

    def __init__(
        self,
        database: Database,
        *,
        replica: RegistryReplica,
        client: RealmClient,
        policy: TargetPolicy,
        clocks: Clocks,
        interval: float,
        stale_limit: float,
    ) -> None:
        self._database, self._replica, self._client, self._policy = database, replica, client, policy
        self._clocks = clocks
        self._interval, self._stale_limit = timedelta(seconds=interval), timedelta(seconds=stale_limit)

    async def run(self) -> None:
        """Check due realms for ever; a failure of the database is logged, and the next batch tries again."""
        while True:
            await asyncio.sleep(TICK_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 (jitter, not a secret)
            try:
                await self.check_due()
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("realms_not_checked", error=type(error).__name__)

    async def check_due(self) -> int:
        """Check the realms that are due, `REALM_BATCH_SIZE` at most; how many.

        Raises:
            SQLAlchemyError, OSError: the database cannot be used.
        """
        now = self._clocks.now()
        async with self._database.begin() as session:
            due = await conditions.claim_due(session, since=now - self._interval, now=now, limit=REALM_BATCH_SIZE)
            shared = {
                one.id: await shares_issuer(session, issuer=one.issuer, organization=one.organization) for one in due
            }
        gate = asyncio.Semaphore(CONCURRENT_CHECKS)

        async def check(realm: Realm) -> None:
            async with gate:
                await self._check(realm, shared=shared[realm.id])

        async with asyncio.TaskGroup() as group:
            for realm in due:
                group.create_task(check(realm))
        return len(due)

    async def _check(self, realm: Realm, *, shared: bool) -> None:
        report = await check_realm(
            registered_draft(realm), client=self._client, policy=self._policy, clocks=self._clocks, shared=shared
        )
        origin = {"issuer": realm.issuer, "realm_url": realm.realm_url}
        stored_at = self._replica.stored_at(realm.id, **origin)
        health, reported = assess(report, fetched_at=stored_at, now=self._clocks.now(), stale_limit=self._stale_limit)
        try:
            async with self._database.begin() as session:
                stored = await store_report(
                    session, realm=realm, report=report, conditions=reported, health=health, now=self._clocks.now()
                )
        except SQLAlchemyError as error:
            log.warning("conditions_not_stored", realm_id=str(realm.id), error=type(error).__name__)
            return
        if stored is None:
            return  # the realm was changed or removed while it was checked: the report is outdated
        changed, keys = stored
        for change in changed:
            log.info(
                "realm_condition_changed",
                issuer=realm.issuer,
                condition=change.type,
                before=change.before,
                status=change.status,
                reason=change.reason,
            )
        if keys is not None and report.fetched is not None:
            self._replica.note_keys(keys, **origin, fetched=report.fetched)


def assess(
    report: Report, *, fetched_at: datetime | None, now: datetime, stale_limit: timedelta
) -> tuple[Health, Sequence[ConditionValue]]:
    """The health of a realm, and its conditions; `Ready` also has the time until which stored keys are used.

    Degraded: a check failed, but the realm's tokens are still verified with stored keys.
    """
    if report.ready:
        return Health.HEALTHY, report.conditions
    failed = next(condition for condition in reversed(report.conditions) if condition.status == "False")
    if failed.reason in _FATAL or fetched_at is None or now - fetched_at > stale_limit:
        return Health.FAILING, report.conditions
    until = fetched_at + stale_limit
    note = (
        f"; its tokens are verified with keys fetched {_ago(now - fetched_at)} ago, "
        f"until {until:%Y-%m-%dT%H:%M:%SZ} at most"
    )
    return Health.DEGRADED, tuple(
        replace(condition, message=condition.message + note) if condition.type == "Ready" else condition
        for condition in report.conditions
    )


def _ago(age: timedelta) -> str:
    minutes = max(0, int(age.total_seconds() // 60))
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
