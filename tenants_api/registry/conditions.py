"""What is observed of realms: the outcome of checks, their health, and who looks at which realm next.

An observation is no change by an admin: it moves no version. A change of health is in the audit trail all the same.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.registry import audit
from tenants_api.registry.audit import HEALTH_CHANGED, OBSERVER, health_words
from tenants_api.registry.changes import lock_tenant_of
from tenants_api.registry.models import Realm, RealmCondition, Tenant
from tenants_api.registry.values import ConditionValue, Health, TenantState


@dataclass(frozen=True, slots=True)
class Moved:
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
) -> list[Moved] | None:
    """Keep what the checks found of this version of the realm; None when the realm is gone or was changed meanwhile.

    A condition's transition time moves only when its status does.
    """
    await lock_tenant_of(session, realm_id=realm_id)  # two checks at once would add the same rows
    realm = await session.get(Realm, realm_id, populate_existing=True)
    if realm is None or realm.version != version:
        return None
    realm.checked_at = now
    if health is not None and health != realm.health:
        # Before the last one, which has the reason of the failure, may stand warnings.
        last = next((condition.reason for condition in reversed(conditions) if condition.status == "False"), None)
        reason = last if health != Health.HEALTHY else None
        await _record_health(session, realm_id=realm_id, before=realm.health, after=health, reason=reason)
        realm.health = health
    moved = await _replace(session, realm_id=realm_id, conditions=conditions, now=now)
    await session.flush()
    return moved


async def set_health(
    session: AsyncSession,
    *,
    realm_id: uuid.UUID,
    issuer: str,
    realm_url: str,
    health: Health,
    reason: str | None = None,
) -> None:
    """Keep what is observed of a realm with this issuer and URL; a change makes its checks due.

    Of replicas that see it, one records it. Nothing is kept for a realm that has another issuer or URL meanwhile.
    """
    same = (Realm.id == realm_id, Realm.issuer == issuer, Realm.realm_url == realm_url)
    before = await session.scalar(select(Realm.health).where(*same))
    changing = update(Realm).where(*same, Realm.health != health).returning(Realm.id)
    changed = await session.scalar(changing.values(health=health, checked_at=None))
    if before is not None and changed is not None:
        await _record_health(session, realm_id=realm_id, before=before, after=health, reason=reason)


async def claim_due(session: AsyncSession, *, since: datetime, now: datetime, limit: int) -> list[Realm]:
    """Enabled realms of active tenants that were not checked since then, the longest waiting first.

    Each is given to one caller only: they count as checked now.
    """
    waiting = or_(Realm.checked_at.is_(None), Realm.checked_at < since)
    due = (
        select(Realm.id, Realm.checked_at)
        .join(Tenant, Tenant.id == Realm.tenant_id)
        .where(Tenant.state == TenantState.ACTIVE, Realm.enabled, waiting)
        .order_by(Realm.checked_at.nulls_first())
        .limit(limit)
    )
    mine = []
    for realm_id, seen in (await session.execute(due)).all():
        same = Realm.checked_at.is_(None) if seen is None else Realm.checked_at == seen
        claim = update(Realm).where(Realm.id == realm_id, same).values(checked_at=now).returning(Realm.id)
        if await session.scalar(claim) is not None:
            mine.append(realm_id)
    return list(await session.scalars(select(Realm).where(Realm.id.in_(mine)).order_by(Realm.id)))


async def _replace(
    session: AsyncSession, *, realm_id: uuid.UUID, conditions: Sequence[ConditionValue], now: datetime
) -> list[Moved]:
    rows = await session.scalars(select(RealmCondition).where(RealmCondition.realm_id == realm_id))
    before = {row.type: row for row in rows}
    moved = []
    for position, condition in enumerate(conditions):
        row = before.pop(condition.type, None)
        if row is None:
            row = RealmCondition(realm_id=realm_id, type=condition.type)
            session.add(row)
        if row.status != condition.status:
            moved.append(Moved(condition.type, row.status, condition.status, condition.reason))
            row.last_transition_time = now
        row.position, row.status = position, condition.status
        row.reason, row.message = condition.reason, condition.message
    for row in before.values():
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
        after=health_words(after, reason=reason),
    )
