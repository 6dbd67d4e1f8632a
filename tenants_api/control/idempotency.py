"""Idempotency keys of POSTs: the first answer is kept for 24 hours and given again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.registry.errors import IdempotencyInFlight, IdempotencyMismatch
from tenants_api.registry.models import IdempotencyKey

KEPT = timedelta(hours=24)
GIVEN_UP = timedelta(minutes=2)  # a first request that died leaves its key this long
SWEPT = 50  # expired keys of anybody that one request takes away: more than it adds, so the table is bounded


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The answer of the first request."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def reserve(
    session: AsyncSession, *, actor_id: str, key: str, fingerprint: str, now: datetime
) -> StoredAnswer | None:
    """Take the key for this request; the stored answer when it was answered before, else None: go on.

    Raises:
        IdempotencyMismatch: the key was used for another request.
        IdempotencyInFlight: the first request with it still runs.
    """
    await _sweep(session, now=now)
    mine = (IdempotencyKey.actor_id == actor_id, IdempotencyKey.key == key)
    await session.execute(delete(IdempotencyKey).where(*mine, IdempotencyKey.created_at < now - KEPT))
    unanswered = IdempotencyKey.status.is_(None)
    await session.execute(delete(IdempotencyKey).where(*mine, unanswered, IdempotencyKey.created_at < now - GIVEN_UP))
    row = await session.scalar(select(IdempotencyKey).where(*mine))
    if row is None:
        session.add(IdempotencyKey(actor_id=actor_id, key=key, fingerprint=fingerprint, created_at=now))
        try:
            await session.flush()
        except IntegrityError as error:
            raise IdempotencyInFlight from error
        return None
    if row.fingerprint != fingerprint:
        raise IdempotencyMismatch
    if row.status is None:
        raise IdempotencyInFlight
    return StoredAnswer(row.status, row.headers, row.body or b"")


async def store(
    session: AsyncSession, *, actor_id: str, key: str, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Keep the answer."""
    await session.execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.actor_id == actor_id, IdempotencyKey.key == key)
        .values(status=status, headers=dict(headers), body=body)
    )


async def forget(session: AsyncSession, *, actor_id: str, key: str) -> None:
    """Give the key back: the request had no answer worth keeping."""
    await session.execute(delete(IdempotencyKey).where(IdempotencyKey.actor_id == actor_id, IdempotencyKey.key == key))


async def _sweep(session: AsyncSession, *, now: datetime) -> None:
    """Take some expired keys away; those that another request is just taking are passed over, not waited for."""
    name = tuple_(IdempotencyKey.actor_id, IdempotencyKey.key)
    expired = (
        select(IdempotencyKey.actor_id, IdempotencyKey.key)
        .where(IdempotencyKey.created_at < now - KEPT)
        .order_by(IdempotencyKey.created_at)
        .limit(SWEPT)
        .with_for_update(skip_locked=True)
    )
    await session.execute(delete(IdempotencyKey).where(name.in_(expired)).execution_options(synchronize_session=False))
