"""How tries to log in are counted: by user, address and tenant, for all replicas together."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from tenants_api.control.login_tries import ADDRESS_RATE_FACTOR, TENANT_RATE_FACTOR, LoginTry, count_try
from tenants_api.database.engine import Database
from tenants_api.errors import RateLimited
from tenants_api.registry.models import LoginTries


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


@pytest.mark.parametrize(
    "name",
    [
        "ALICE",
        "alice ",
        "\uff41lice",
        "Alice",
        "alice@acme.example",
        "Alice@ACME.example",
        "alice\uff20acme.example",
        "\u00e1lice",
        "al\u200bice",
        "alice\u0301",
    ],
)
async def test_another_spelling_is_no_other_user(database: Database, name: str) -> None:
    assert [await tries(database, user) for user in ("alice", "alice", name)] == [True, True, False]


async def test_names_that_begin_with_an_at_sign_are_told_apart(database: Database) -> None:
    assert [await tries(database, "@alice") for _ in range(3)] == [True, True, False]
    assert await tries(database, "@bob")


@pytest.mark.parametrize(
    ("addresses", "shared"),
    [
        (("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:DB8:1:2:0:0:0:7"), True),
        (("2001:db8:1:2::1", "2001:db8:1:3::1", "2001:db8:1:4::1"), False),
        (("192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201"), True),
        (("192.0.2.1", "192.0.2.2", "::ffff:192.0.2.3"), False),
        (("fe80::1%eth0", "fe80::2%eth1", "fe80::3"), True),
        (("", "", ""), True),
        (("unix:", "other", "third"), False),
    ],
    ids=str,
)
async def test_addresses_of_one_64_are_one_address(
    database: Database, addresses: tuple[str, ...], shared: bool
) -> None:
    let = [
        await tries(database, f"u{number}", address=addresses[number % len(addresses)])
        for number in range(2 * ADDRESS_RATE_FACTOR + 1)
    ]
    assert let[-1] != shared
    assert await tries(database, "alice", tenant="globex", address="2001:db8:9::1")


async def test_tenant_has_a_limit_over_all_users_and_addresses(database: Database) -> None:
    async def each(number: int) -> bool:
        return await tries(database, f"u{number}", address=f"a{number}")

    let = [await each(number) for number in range(2 * TENANT_RATE_FACTOR + 1)]
    assert let == [True] * (2 * TENANT_RATE_FACTOR) + [False]
    assert await tries(database, "alice", tenant="globex", address="z")


async def test_replicas_that_count_at_once_lose_none_and_do_not_wait_for_each_other(database: Database) -> None:
    async def some(number: int) -> list[bool]:
        return [await tries(database, f"u{number}-{turn}", address="one") for turn in range(6)]

    let = [one for several in await asyncio.gather(*(some(number) for number in range(5))) for one in several]
    assert sum(let) == 2 * ADDRESS_RATE_FACTOR


async def test_old_minutes_are_swept_and_no_name_is_stored(database: Database) -> None:
    for number in range(20):
        await tries(database, f"user-{number}", now=0)
    await tries(database, "alice", now=300)
    async with database.read() as session:
        rows = list(await session.scalars(select(LoginTries)))
    assert {row.minute for row in rows} == {5}
    assert not [row for row in rows if "alice" in row.digest]
