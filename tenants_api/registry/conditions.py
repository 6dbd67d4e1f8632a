"""What the checks of a realm found. An observation, not a change by an admin: no version, no audit event."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.registry.locks import lock_tenant_of
from tenants_api.registry.models import Realm, RealmCondition
from tenants_api.registry.values import ConditionValue, Health


async def store_conditions(
    session: AsyncSession,
    *,
    realm_id: uuid.UUID,
    conditions: Sequence[ConditionValue],
    health: Health | None,
    now: datetime,
) -> None:
    """Keep what the checks found. A condition's transition time moves only when its status does."""
    await lock_tenant_of(session, realm_id=realm_id)  # two checks at once would add the same rows
    realm = await session.get(Realm, realm_id)
    if realm is None:
        return
    if health is not None:
        realm.health = health
    before = await _conditions_of(session, realm_id=realm_id)
    for position, condition in enumerate(conditions):
        row = before.pop(condition.type, None)
        if row is None:
            row = RealmCondition(realm_id=realm_id, type=condition.type)
            session.add(row)
        if row.status != condition.status:
            row.last_transition_time = now
        row.position, row.status, row.reason, row.message = (
            position,
            condition.status,
            condition.reason,
            condition.message,
        )
    for row in before.values():
        await session.delete(row)
    await session.flush()


async def set_health(session: AsyncSession, *, realm_id: uuid.UUID, health: Health) -> None:
    """Keep what is observed of a realm now."""
    await session.execute(update(Realm).where(Realm.id == realm_id, Realm.health != health).values(health=health))


async def _conditions_of(session: AsyncSession, *, realm_id: uuid.UUID) -> dict[str, RealmCondition]:
    """The stored conditions of a realm by type."""
    rows = await session.scalars(select(RealmCondition).where(RealmCondition.realm_id == realm_id))
    return {row.type: row for row in rows}
