"""The audit log: each entry is written in the transaction of its change, and never updated."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.database.pagination import Page, PageRequest, fetch_page
from tenants_api.ids import is_id
from tenants_api.registry.models import AuditEvent, Realm, Tenant
from tenants_api.registry.values import Actor, Change

OBSERVER = Change(Actor("system", "tenants-api"))
HEALTH_CHANGED = "realm.health_changed"


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that differ, before and after."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {
        "before": {name: before[name] for name in names if name in before},
        "after": {name: after[name] for name in names if name in after},
    }


async def record(
    session: AsyncSession,
    *,
    action: str,
    target_type: str,
    target_id: str,
    change: Change,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Add one entry with the fields that differ between `before` and `after`; neither may hold a secret."""
    session.add(
        AuditEvent(
            action=action,
            actor_type=change.actor.type,
            actor_id=change.actor.id,
            target_type=target_type,
            target_id=target_id,
            request_id=change.request_id,
            reason=change.reason,
            changes=difference(before or {}, after or {}),
        )
    )
    await session.flush()


async def list_events(
    session: AsyncSession,
    *,
    page: PageRequest,
    action: str | None = None,
    target: str | None = None,
    actor: str | None = None,
    since: datetime | None = None,
) -> Page[AuditEvent]:
    """One page of entries, newest first; the filters are exact, `since` is the earliest time."""
    query = select(AuditEvent)
    if action is not None:
        query = query.where(AuditEvent.action == action)
    if target is not None:
        query = query.where(AuditEvent.target_id == target)
    if actor is not None:
        query = query.where(AuditEvent.actor_id == actor)
    if since is not None:
        query = query.where(AuditEvent.occurred_at >= since)
    return await fetch_page(session, query, column=AuditEvent.id, page=page, descending=True)


async def slugs_of(session: AsyncSession, *, events: Iterable[AuditEvent]) -> dict[str, str]:
    """The slugs of tenants by the ids of entries' targets; of a purged tenant only where the entry itself has it."""
    events = list(events)
    found = {event.target_id: slug for event in events if (slug := _slug_in(event.changes)) is not None}
    ids = [uuid.UUID(event.target_id) for event in events if is_id(event.target_id)]
    tenants = select(Tenant.id, Tenant.slug).where(Tenant.id.in_(ids))
    realms = select(Realm.id, Tenant.slug).join(Tenant, Realm.tenant_id == Tenant.id).where(Realm.id.in_(ids))
    for query in (tenants, realms):
        found |= {str(target): slug for target, slug in (await session.execute(query)).all()}
    return found


def _slug_in(changes: Mapping[str, Any]) -> str | None:
    return next((fields["slug"] for fields in changes.values() if isinstance(fields, dict) and "slug" in fields), None)
