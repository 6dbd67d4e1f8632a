"""Idempotency keys of POSTs: the first response is stored for 24 hours and replayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.registry.errors import IdempotencyInFlight, IdempotencyMismatch
from tenants_api.registry.models import IdempotencyKey

RETENTION = timedelta(hours=24)
IN_FLIGHT_TIMEOUT = timedelta(minutes=2)  # after which the key of a request without a response is free
SWEEP_BATCH_SIZE = 50  # expired keys that one request deletes: more than it adds, so the table is bounded


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The response to the first request."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def reserve(
    session: AsyncSession, *, actor_id: str, key: str, fingerprint: str, now: datetime
) -> StoredResponse | None:
    """Reserve the key for this request; the stored response if there is one, else None.

    Raises:
        IdempotencyMismatch: the key was used for another request.
        IdempotencyInFlight: the first request with the key is still running.
    """
    await _sweep(session, now=now)

    own = (IdempotencyKey.actor_id == actor_id, IdempotencyKey.key == key)
    await session.execute(delete(IdempotencyKey).where(*own, IdempotencyKey.created_at < now - RETENTION))
    unanswered = IdempotencyKey.status.is_(None)
    await session.execute(
        delete(IdempotencyKey).where(*own, unanswered, IdempotencyKey.created_at < now - IN_FLIGHT_TIMEOUT)
    )
    row = await session.scalar(select(IdempotencyKey).where(*own))
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
    return StoredResponse(row.status, row.headers, row.body or b"")


async def store(
    session: AsyncSession, *, actor_id: str, key: str, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Store the response."""
    await session.execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.actor_id == actor_id, IdempotencyKey.key == key)
        .values(status=status, headers=dict(headers), body=body)
    )


async def release(session: AsyncSession, *, actor_id: str, key: str) -> None:
    """Free the key: the response is not stored."""
    await session.execute(delete(IdempotencyKey).where(IdempotencyKey.actor_id == actor_id, IdempotencyKey.key == key))


async def _sweep(session: AsyncSession, *, now: datetime) -> None:
    """Delete some expired keys; rows that another transaction has locked are skipped."""
    name = tuple_(IdempotencyKey.actor_id, IdempotencyKey.key)
    expired = (
        select(IdempotencyKey.actor_id, IdempotencyKey.key)
        .where(IdempotencyKey.created_at < now - RETENTION)
        .order_by(IdempotencyKey.created_at)
        .limit(SWEEP_BATCH_SIZE)
        .with_for_update(skip_locked=True)
    )
    await session.execute(delete(IdempotencyKey).where(name.in_(expired)).execution_options(synchronize_session=False))
