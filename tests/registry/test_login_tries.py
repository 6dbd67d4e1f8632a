"""How tries to log in are counted: by user, address and tenant, for all replicas together."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from tenants_api.db import Database
from tenants_api.errors import RateLimited
from tenants_api.registry.login_tries import PER_ADDRESS, PER_TENANT, LoginTry, count_try
from tenants_api.registry.models import LoginTries

pytestmark = pytest.mark.anyio


async def tries(database: Database, user: str, *, tenant: str = "acme", address: str = "a", now: float = 0) -> bool:
    """Whether the try is let through, at a rate of 2."""
    async with database.begin() as session:
        try:
            await count_try(session, LoginTry(tenant, user, address), rate=2, now=now)
        except RateLimited as error:
            return int(error.headers["Retry-After"]) > 60
    return True


async def test_user_is_let_in_again_with_the_next_minute(database: Database) -> None:
    assert [await tries(database, "alice", now=now) for now in (0, 1, 30)] == [True, True, False]
    assert await tries(database, "alice", tenant="globex", now=30)
    assert await tries(database, "alice", now=60)


@pytest.mark.parametrize("name", ["ALICE", "alice ", "\uff41lice", "Alice"])
async def test_another_spelling_is_no_other_user(database: Database, name: str) -> None:
    assert [await tries(database, user) for user in ("alice", "alice", name)] == [True, True, False]


async def test_tenant_has_a_limit_over_all_users_and_addresses(database: Database) -> None:
    async def each(number: int) -> bool:
        return await tries(database, f"u{number}", address=f"a{number}")

    let = [await each(number) for number in range(2 * PER_TENANT + 1)]
    assert let == [True] * (2 * PER_TENANT) + [False]
    assert await tries(database, "alice", tenant="globex", address="z")


async def test_replicas_that_count_at_once_lose_none_and_do_not_wait_for_each_other(database: Database) -> None:
    async def some(number: int) -> list[bool]:
        return [await tries(database, f"u{number}-{turn}", address="one") for turn in range(6)]

    let = [one for several in await asyncio.gather(*(some(number) for number in range(5))) for one in several]
    assert sum(let) == 2 * PER_ADDRESS


async def test_old_minutes_are_swept_and_no_name_is_stored(database: Database) -> None:
    for number in range(20):
        await tries(database, f"user-{number}", now=0)
    await tries(database, "alice", now=300)
    async with database.read() as session:
        rows = list(await session.scalars(select(LoginTries)))
    assert {row.minute for row in rows} == {5}
    assert not [row for row in rows if "alice" in row.digest]
