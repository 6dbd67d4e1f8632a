"""Idempotency keys: one request goes on, its answer is given again, and nothing is kept for ever."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from tenants_api.control.idempotency import (
    IN_FLIGHT_TIMEOUT,
    RETENTION,
    SWEEP_BATCH_SIZE,
    StoredResponse,
    release,
    reserve,
    store,
)
from tenants_api.database.engine import Database
from tenants_api.registry.errors import IdempotencyInFlight, IdempotencyMismatch
from tenants_api.registry.models import IdempotencyKey

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANSWER = StoredResponse(201, {"location": "/here"}, b'{"id": 1}')


async def take(
    database: Database, *, key: str = "k", actor: str = "api_key:1", fingerprint: str = "f", now: datetime = NOW
) -> StoredResponse | None:
    async with database.begin() as session:
        return await reserve(session, actor_id=actor, key=key, fingerprint=fingerprint, now=now)


async def answer(database: Database, *, key: str = "k", actor: str = "api_key:1") -> None:
    async with database.begin() as session:
        await store(session, actor_id=actor, key=key, status=ANSWER.status, headers=ANSWER.headers, body=ANSWER.body)


async def kept(database: Database) -> int:
    async with database.read() as session:
        return await session.scalar(select(func.count()).select_from(IdempotencyKey)) or 0


async def test_first_request_goes_on_and_the_second_gets_its_answer(database: Database) -> None:
    assert await take(database) is None
    await answer(database)
    assert await take(database) == ANSWER


async def test_same_key_of_another_actor_is_another_key(database: Database) -> None:
    await take(database)
    await answer(database)
    assert await take(database, actor="api_key:2") is None


async def test_second_request_is_refused_while_the_first_runs(database: Database) -> None:
    await take(database)
    with pytest.raises(IdempotencyInFlight) as refused:
        await take(database)
    assert refused.value.headers == {"Retry-After": "1"}


async def test_of_two_requests_at_the_same_instant_one_goes_on(database: Database) -> None:
    outcomes = await asyncio.gather(*(take(database) for _ in range(4)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["IdempotencyInFlight"] * 3 + ["NoneType"]


async def test_key_of_another_request_is_refused_answered_or_not(database: Database) -> None:
    await take(database)
    with pytest.raises(IdempotencyMismatch):
        await take(database, fingerprint="other")
    await answer(database)
    with pytest.raises(IdempotencyMismatch):
        await take(database, fingerprint="other")


async def test_forgotten_key_is_free_again(database: Database) -> None:
    await take(database)
    async with database.begin() as session:
        await release(session, actor_id="api_key:1", key="k")
    assert await take(database) is None


async def test_answer_is_kept_for_a_day_and_no_longer(database: Database) -> None:
    await take(database)
    await answer(database)
    assert await take(database, now=NOW + RETENTION) == ANSWER
    assert await take(database, fingerprint="other", now=NOW + RETENTION + timedelta(seconds=1)) is None


async def test_first_request_that_died_blocks_its_key_for_minutes_not_for_a_day(database: Database) -> None:
    await take(database)
    assert await take(database, now=NOW + IN_FLIGHT_TIMEOUT + timedelta(seconds=1)) is None


async def test_expired_keys_of_anybody_are_swept_away(database: Database) -> None:
    for number in range(5):
        await take(database, key=f"old-{number}")
    await take(database, key="young", now=NOW + timedelta(hours=12))
    await take(database, key="new", actor="api_key:2", now=NOW + RETENTION + timedelta(minutes=1))
    assert SWEEP_BATCH_SIZE >= 5
    assert await kept(database) == 2
