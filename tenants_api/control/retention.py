"""What the registry lets go of in the end: batch by batch, each a short transaction, so that nobody waits for it and a
run that is cut off has lost nothing.

Traces of purged tenants stay, an id and a number each: a replica that slept through the purge learns of it by them.
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
    """Days for which a thing is kept; 0 keeps it for ever."""

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
        """Their keys."""
        return select(*self.key).where(self.condition)


def due(policy: Retention, *, now: datetime) -> list[Due]:
    """What may go now. Idempotency keys and login tries have lifetimes of their own."""
    found = [_idempotency_keys(now), _login_tries(now)]
    if policy.rejection_days:
        before = now - timedelta(days=policy.rejection_days)
        found.append(Due(Rejection, (Rejection.id,), Rejection.id, Rejection.last_at < before, before))
    if policy.audit_days:
        before = now - timedelta(days=policy.audit_days)
        # The id is a UUIDv7, which begins with its time: so this is a range of the primary key.
        older = (AuditEvent.id < first_id(before)) & (AuditEvent.occurred_at < before)
        found.append(Due(AuditEvent, (AuditEvent.id,), AuditEvent.id, older, before))
    return found


def _idempotency_keys(now: datetime) -> Due:
    table, before = IdempotencyKey, now - idempotency.KEPT
    return Due(table, (table.actor_id, table.key), table.created_at, table.created_at < before, before)


def _login_tries(now: datetime) -> Due:
    table, before = LoginTries, now - timedelta(minutes=login_tries.SWEPT_AFTER)
    minute = int(before.timestamp() // login_tries.MINUTE)
    return Due(table, (table.digest, table.minute), table.minute, table.minute <= minute, before)


def first_id(moment: datetime) -> uuid.UUID:
    """The smallest UUIDv7 of this moment (RFC 9562 section 5.7: 48 bits of milliseconds come first)."""
    return uuid.UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


async def count(session: AsyncSession, what: Due) -> int:
    """How many rows may go."""
    return await session.scalar(select(func.count()).select_from(what.rows().subquery())) or 0


async def remove(database: Database, what: Due, *, batch: int, change: Change) -> AsyncIterator[int]:
    """Take the rows away; gives the number of each batch once it is committed.

    Rows that another transaction holds are passed over, not waited for. What is taken from the audit trail is told
    there, in the same transaction.
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
    if what.table is not AuditEvent:  # audit entries are never changed, and the role that serves may not lock them
        some = some.with_for_update(skip_locked=True)
    name = what.key[0] if len(what.key) == 1 else tuple_(*what.key)
    taking = delete(what.table).where(name.in_(some)).execution_options(synchronize_session=False)
    done = await session.execute(taking)
    return done.rowcount if isinstance(done, CursorResult) else 0
