"""Checks every active realm now and then, also those that nobody uses: their conditions and health stay true.

Slow on purpose, and one look at each realm is enough: replicas share the work by claiming realms in the database. A
realm whose health changed, as a replica saw it with its keys, comes first. It never changes a tenant's state.
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
from tenants_api.database.engine import Database
from tenants_api.outbound.client import RealmClient
from tenants_api.outbound.targets import TargetPolicy
from tenants_api.registry import conditions
from tenants_api.registry.keys import store_keys
from tenants_api.registry.models import Realm
from tenants_api.registry.repository import registered_draft, shares_issuer
from tenants_api.registry.values import ConditionValue, Health
from tenants_api.replica.replica import RegistryReplica
from tenants_api.replica.stored_keys import to_stored

TICK = 5.0  # seconds between two turns, give or take half of it: replicas do not move in step
BATCH = 20  # realms of one turn
CONCURRENT_CHECKS = 4
# With these the realm cannot mean what is registered, whatever keys are stored.
_FATAL = ("RealmDisabled", "IssuerMismatch", "IssuerTaken")
log = structlog.get_logger("tenants_api.control")


class Reconciler:
    """`interval` is the seconds between two checks of one realm, `stale_limit` those for which stored keys serve."""

    def __init__(
        self,
        database: Database,
        *,
        trust: RegistryReplica,
        client: RealmClient,
        policy: TargetPolicy,
        clocks: Clocks,
        interval: float,
        stale_limit: float,
    ) -> None:
        self._database, self._trust, self._client, self._policy = database, trust, client, policy
        self._clocks = clocks
        self._interval, self._stale_limit = timedelta(seconds=interval), timedelta(seconds=stale_limit)

    async def run(self) -> None:
        """Turn for ever; a database that is away is tried again."""
        while True:
            await asyncio.sleep(TICK * random.uniform(0.5, 1.5))  # noqa: S311 (jitter, not a secret)
            try:
                await self.turn()
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("realms_not_checked", error=type(error).__name__)

    async def turn(self) -> int:
        """Check the realms that are due, twenty at most. Gives how many.

        Raises:
            SQLAlchemyError, OSError: the database cannot be used.
        """
        now = self._clocks.now()
        async with self._database.begin() as session:
            due = await conditions.claim_due(session, since=now - self._interval, now=now, limit=BATCH)
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
        stored_at = self._trust.stored_at(realm.id, **origin)
        health, told = judged(report, fetched_at=stored_at, now=self._clocks.now(), stale_limit=self._stale_limit)
        keys = None
        if report.ready and report.fetched is not None:
            keys = to_stored(realm.id, **origin, fetched=report.fetched, fetched_at=report.asked_at)
        try:
            async with self._database.begin() as session:
                moved = await conditions.store_conditions(
                    session,
                    realm_id=realm.id,
                    version=realm.version,
                    conditions=told,
                    health=health,
                    now=self._clocks.now(),
                )
                if keys is not None and moved is not None:
                    await store_keys(session, keys)
        except SQLAlchemyError as error:
            log.warning("conditions_not_stored", realm_id=str(realm.id), error=type(error).__name__)
            return
        if moved is None:
            return  # the realm was changed, or left, while it was checked: the report says nothing of what it is now
        for change in moved:
            log.info(
                "realm_condition_changed",
                issuer=realm.issuer,
                condition=change.type,
                before=change.before,
                status=change.status,
                reason=change.reason,
            )
        if keys is not None and report.fetched is not None:
            self._trust.note_keys(keys, **origin, fetched=report.fetched)


def judged(
    report: Report, *, fetched_at: datetime | None, now: datetime, stale_limit: timedelta
) -> tuple[Health, Sequence[ConditionValue]]:
    """The health of a realm, and its conditions with what stored keys still do for it.

    Degraded: it cannot be read, and its tokens are verified with keys of an earlier time all the same.
    """
    if report.ready:
        return Health.HEALTHY, report.conditions
    failed = next(condition for condition in reversed(report.conditions) if condition.status == "False")
    if failed.reason in _FATAL or fetched_at is None or now - fetched_at > stale_limit:
        return Health.FAILING, report.conditions
    until = fetched_at + stale_limit
    kept = (
        f"; its tokens are verified with keys fetched {_ago(now - fetched_at)} ago, "
        f"until {until:%Y-%m-%dT%H:%M:%SZ} at most"
    )
    return Health.DEGRADED, tuple(
        replace(condition, message=condition.message + kept) if condition.type == "Ready" else condition
        for condition in report.conditions
    )


def _ago(age: timedelta) -> str:
    minutes = max(0, int(age.total_seconds() // 60))
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
