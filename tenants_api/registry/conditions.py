"""Conditions and health of realms, and the claims of checks by replicas.

They change no version, because no admin changed anything. A change of health is in the audit log.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.registry import audit
from tenants_api.registry.audit import HEALTH_CHANGED, OBSERVER
from tenants_api.registry.changes import lock_tenant_of
from tenants_api.registry.models import Realm, RealmCondition, Tenant
from tenants_api.registry.values import ConditionValue, Health, LearnedConditions, TenantState

# Reasons of tokens, live ones or a sample: a check without a token does not replace them.
LEARNED_REASONS = frozenset({"TokenAccepted", "TokensRefused", "RoleMapped", "NoRoleMapped", "Configured"})


@dataclass(frozen=True, slots=True)
class ConditionChange:
    """A condition whose status changed; `before` is None for one that is new."""

    type: str
    before: str | None
    status: str
    reason: str


async def store_conditions(
    session: AsyncSession,
    *,
    realm_id: uuid.UUID,
    version: int,
    conditions: Sequence[ConditionValue],
    health: Health | None,
    now: datetime,
) -> list[ConditionChange] | None:
    """Store the result of checks of this version of the realm; None when the realm was removed or changed meanwhile.

    A condition's transition time changes only with its status.
    """
    await lock_tenant_of(session, realm_id=realm_id)  # two checks at once would add the same rows
    realm = await session.get(Realm, realm_id, populate_existing=True)
    if realm is None or realm.version != version:
        return None
    realm.checked_at = now
    if health is not None and health != realm.health:
        # The last one has the reason of the failure; those before it may be warnings.
        last = next((condition.reason for condition in reversed(conditions) if condition.status == "False"), None)
        reason = last if health != Health.HEALTHY else None
        await _record_health(session, realm_id=realm_id, before=realm.health, after=health, reason=reason)
        realm.health = health
    moved = await _replace(session, realm_id=realm_id, conditions=conditions, now=now)
    await session.flush()
    return moved


async def not_learned(session: AsyncSession, learned: Sequence[LearnedConditions]) -> list[LearnedConditions]:
    """Those with a condition that is not stored yet."""
    rows = await session.execute(
        select(RealmCondition.realm_id, RealmCondition.type, RealmCondition.status).where(
            RealmCondition.realm_id.in_([one.realm_id for one in learned]), RealmCondition.status != "Unknown"
        )
    )
    stored = {(row.realm_id, row.type): row.status for row in rows}
    return [
        one
        for one in learned
        if any(stored.get((one.realm_id, value.type)) not in ("True", value.status) for value in one.conditions)
    ]


async def learn(session: AsyncSession, learned: LearnedConditions, *, now: datetime) -> bool:
    """Store what traffic showed of a realm; False when its tenant has another version by now.

    One accepted token proves a condition, so a stored True remains. Nothing is stored for a realm that was removed.
    """
    tenant_id = await lock_tenant_of(session, realm_id=learned.realm_id)
    if tenant_id is None:
        return True
    if await session.scalar(select(Tenant.changed_version).where(Tenant.id == tenant_id)) != learned.changed_version:
        return False
    rows = await session.scalars(select(RealmCondition).where(RealmCondition.realm_id == learned.realm_id))
    stored = {row.type: row for row in rows}
    for value in learned.conditions:
        row = stored.get(value.type)
        if row is None:
            last = max((row.position for row in stored.values()), default=-1)
            row = RealmCondition(realm_id=learned.realm_id, type=value.type, position=last + 1)
            session.add(row)
        elif row.status == "True":
            continue
        if row.status != value.status:
            row.last_transition_time = now
        row.status, row.reason, row.message = value.status, value.reason, value.message
    return True


def forget_learned(realm: Realm, *types: str) -> None:
    """Delete these conditions of a realm, because what they depend on has changed."""
    for condition in [one for one in realm.conditions if one.type in types]:
        realm.conditions.remove(condition)


async def set_health(
    session: AsyncSession,
    *,
    realm_id: uuid.UUID,
    issuer: str,
    realm_url: str,
    health: Health,
    reason: str | None = None,
) -> None:
    """Store the health of a realm with this issuer and URL; a change makes its checks due.

    Of several replicas one records the change. Nothing is stored when the realm has another issuer or URL by now.
    """
    same = (Realm.id == realm_id, Realm.issuer == issuer, Realm.realm_url == realm_url)
    before = await session.scalar(select(Realm.health).where(*same))
    changing = update(Realm).where(*same, Realm.health != health).returning(Realm.id)
    changed = await session.scalar(changing.values(health=health, checked_at=None))
    if before is not None and changed is not None:
        await _record_health(session, realm_id=realm_id, before=before, after=health, reason=reason)


async def claim_due(session: AsyncSession, *, since: datetime, now: datetime, limit: int) -> list[Realm]:
    """Claim enabled realms of active tenants that were not checked since then, the longest waiting first.

    Each is claimed by one caller only: they count as checked now.
    """
    waiting = or_(Realm.checked_at.is_(None), Realm.checked_at < since)
    due = (
        select(Realm.id, Realm.checked_at)
        .join(Tenant, Tenant.id == Realm.tenant_id)
        .where(Tenant.state == TenantState.ACTIVE, Realm.enabled, waiting)
        .order_by(Realm.checked_at.nulls_first())
        .limit(limit)
    )
    claimed = []
    for realm_id, seen in (await session.execute(due)).all():
        same = Realm.checked_at.is_(None) if seen is None else Realm.checked_at == seen
        claim = update(Realm).where(Realm.id == realm_id, same).values(checked_at=now).returning(Realm.id)
        if await session.scalar(claim) is not None:
            claimed.append(realm_id)
    return list(await session.scalars(select(Realm).where(Realm.id.in_(claimed)).order_by(Realm.id)))


async def _replace(
    session: AsyncSession, *, realm_id: uuid.UUID, conditions: Sequence[ConditionValue], now: datetime
) -> list[ConditionChange]:
    rows = await session.scalars(select(RealmCondition).where(RealmCondition.realm_id == realm_id))
    before = {row.type: row for row in rows}
    moved = []
    for position, condition in enumerate(conditions):
        row = before.pop(condition.type, None)
        if row is not None and row.reason in LEARNED_REASONS and condition.reason == "NoSampleToken":
            row.position = position
            continue
        if row is None:
            row = RealmCondition(realm_id=realm_id, type=condition.type)
            session.add(row)
        if row.status != condition.status:
            moved.append(ConditionChange(condition.type, row.status, condition.status, condition.reason))
            row.last_transition_time = now
        row.position, row.status = position, condition.status
        row.reason, row.message = condition.reason, condition.message
    for row in before.values():
        if row.reason in LEARNED_REASONS:
            row.position = len(conditions)
        else:
            await session.delete(row)
    return moved


async def _record_health(
    session: AsyncSession, *, realm_id: uuid.UUID, before: str, after: Health, reason: str | None
) -> None:
    await audit.record(
        session,
        action=HEALTH_CHANGED,
        target_type="realm",
        target_id=str(realm_id),
        change=OBSERVER,
        before={"health": before},
        after={"health": str(after), "reason": reason},
    )
