"""Deletes expired rows in batches, each a short transaction: no other transaction waits long, and an interrupted run
loses nothing.

Markers of purged tenants stay, an id and a version each: a replica that missed the purge finds it by them.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, Select, delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.control import idempotency, login_tries
from tenants_api.database.engine import Base, Database
from tenants_api.registry import audit
from tenants_api.registry.models import AuditEvent, IdempotencyKey, LoginTries, Rejection
from tenants_api.registry.values import Change


@dataclass(frozen=True, slots=True)
class Retention:
    """Days for which rows are retained; 0 retains them for ever."""

    audit_days: int = 0
    rejection_days: int = 90


@dataclass(frozen=True, slots=True)
class Due:
    """The rows of `table` older than `before`, by `key` (its primary key), in an `order` that an index has."""

    table: type[Base]
    key: tuple[Any, ...]
    order: Any
    condition: ColumnElement[bool]
    before: datetime

    @property
    def name(self) -> str:
        """The table's name in the database."""
        return str(self.table.__tablename__)

    def rows(self) -> Select[Any]:
        """The query of their keys."""
        return select(*self.key).where(self.condition)


def due(policy: Retention, *, now: datetime) -> list[Due]:
    """The expired rows of each table; idempotency keys and login attempts have fixed lifetimes."""
    found = [_idempotency_keys(now), _login_tries(now)]
    if policy.rejection_days:
        before = now - timedelta(days=policy.rejection_days)
        found.append(Due(Rejection, (Rejection.id,), Rejection.id, Rejection.last_at < before, before))
    if policy.audit_days:
        before = now - timedelta(days=policy.audit_days)
        # The id is a UUIDv7, which begins with its time: this condition is a range of the primary key.
        older = (AuditEvent.id < first_id(before)) & (AuditEvent.occurred_at < before)
        found.append(Due(AuditEvent, (AuditEvent.id,), AuditEvent.id, older, before))
    return found


def _idempotency_keys(now: datetime) -> Due:
    table, before = IdempotencyKey, now - idempotency.RETENTION
    return Due(table, (table.actor_id, table.key), table.created_at, table.created_at < before, before)


def _login_tries(now: datetime) -> Due:
    table, before = LoginTries, now - timedelta(minutes=login_tries.RETENTION_MINUTES)
    minute = int(before.timestamp() // login_tries.MINUTE_SECONDS)
    return Due(table, (table.digest, table.minute), table.minute, table.minute <= minute, before)


def first_id(moment: datetime) -> uuid.UUID:
    """The smallest UUIDv7 of this moment (RFC 9562 section 5.7: 48 bits of milliseconds come first)."""
    return uuid.UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


async def count(session: AsyncSession, what: Due) -> int:
    """The number of expired rows."""
    return await session.scalar(select(func.count()).select_from(what.rows().subquery())) or 0


async def remove(database: Database, what: Due, *, batch: int, change: Change) -> AsyncIterator[int]:
    """Delete the rows; yields the number of each batch after its commit.

    Locked rows are skipped. A deletion from the audit log is recorded in the audit log, in the same transaction.
    """
    while True:
        async with database.begin() as session:
            removed = await _remove_some(session, what, batch=batch)
            if removed and what.table is AuditEvent:
                after = {"removed": removed, "before": what.before.isoformat(timespec="seconds")}
                await audit.record(
                    session, action="audit.trimmed", target_type="audit", target_id="events", change=change, after=after
                )
        if removed:
            yield removed
        if removed < batch:
            return


async def _remove_some(session: AsyncSession, what: Due, *, batch: int) -> int:
    some = what.rows().order_by(what.order).limit(batch)
    if what.table is not AuditEvent:  # the serving role may not lock audit entries, and nothing updates them
        some = some.with_for_update(skip_locked=True)
    name = what.key[0] if len(what.key) == 1 else tuple_(*what.key)
    statement = delete(what.table).where(name.in_(some)).execution_options(synchronize_session=False)
    result = await session.execute(statement)
    return result.rowcount if isinstance(result, CursorResult) else 0
