"""Signing keys: shared by replicas, known before they sign, sealed at rest, one per rotation however many rotate."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import jwt
import pytest
from sqlalchemy import delete, func, select, update

from tenants_api.assertions.minting import (
    JWKS_MAX_AGE_SECONDS,
    KEY_AHEAD_SECONDS,
    KEY_POLL_SECONDS,
    KEY_RETENTION_SECONDS,
    Assertions,
    new_key,
    next_key,
)
from tenants_api.assertions.storage import AssertionKey
from tenants_api.database.engine import Database
from tenants_api.encoding.sealing import Unreadable
from tests.support.asserting import LIFETIME, OTHER_SECRET, SECRET, Verifier, caller, replica
from tests.support.tokens import Clock


async def count(database: Database) -> int:
    async with database.read() as session:
        return await session.scalar(select(func.count()).select_from(AssertionKey)) or 0


def signer(one: Assertions, clock: Clock) -> str:
    """The kid that signs now."""
    kid: str = jwt.get_unverified_header(one.mint(caller(expires_at=clock.now + 300)))["kid"]
    return kid


def kids(one: Assertions) -> list[str]:
    return [key["kid"] for key in one.jwks()["keys"]]


async def test_first_key_signs_at_once_and_every_replica_has_it(database: Database) -> None:
    clock = Clock()
    first, second = replica(database, clock), replica(database, clock)
    await first.renew()
    await second.renew()
    assert kids(first) == kids(second)
    assert len(kids(first)) == 1
    claims = Verifier(second.jwks(), clock).claims(first.mint(caller(expires_at=clock.now + 300)))
    assert claims["tenant_slug"] == "acme"


async def test_replicas_that_rotate_at_the_same_moment_make_one_key(database: Database) -> None:
    clock = Clock()
    replicas = [replica(database, clock) for _ in range(6)]
    for expected in (1, 2):  # the first start, and a rotation
        await asyncio.gather(*(one.renew() for one in replicas))
        assert await count(database) == expected
        assert len({tuple(kids(one)) for one in replicas}) == 1
        clock.pass_time(LIFETIME - KEY_AHEAD_SECONDS)


async def test_next_key_is_published_before_it_signs_and_the_old_one_after(database: Database) -> None:
    clock = Clock()
    one = replica(database, clock)
    await one.renew()
    (old,) = kids(one)

    async def state() -> tuple[str, list[str]]:
        await one.renew()
        return signer(one, clock), kids(one)

    clock.pass_time(LIFETIME - KEY_AHEAD_SECONDS - 1)
    assert await state() == (old, [old])
    clock.pass_time(1)
    assert (await state())[0] == old
    new = kids(one)[-1]
    assert kids(one) == [old, new]
    clock.pass_time(KEY_AHEAD_SECONDS - 1)
    assert await state() == (old, [old, new])
    clock.pass_time(1)
    assert await state() == (new, [old, new])
    clock.pass_time(KEY_RETENTION_SECONDS - 1)
    assert kids(one) == [old, new]
    clock.pass_time(1)
    assert kids(one) == [new]


async def test_service_with_an_old_key_set_verifies_every_assertion_through_rotations(database: Database) -> None:
    clock = Clock()
    replicas = [replica(database, clock), replica(database, clock)]
    for one in replicas:
        await one.renew()
    # The key sets that a service may have cached.
    sets = [replicas[0].jwks()] * (JWKS_MAX_AGE_SECONDS // int(KEY_POLL_SECONDS) + 1)
    signers = set()
    for minute in range(4 * LIFETIME // int(KEY_POLL_SECONDS)):
        clock.pass_time(KEY_POLL_SECONDS)
        await replicas[minute % 2].renew()  # the other one is a whole look behind
        sets = [*sets[1:], replicas[(minute + 1) % 2].jwks()]
        for one in replicas:
            raw = one.mint(caller(expires_at=clock.now + 300))
            assert Verifier(sets[0], clock).claims(raw)["tenant_slug"] == "acme"
            assert Verifier(sets[-1], clock).claims(raw)["tenant_slug"] == "acme"
            signers.add(kids(one)[0])
    assert len(signers) >= 3
    assert await count(database) <= 3, "outdated keys are removed"


async def test_key_outlives_a_database_that_is_away_and_a_long_stop(database: Database) -> None:
    clock = Clock()
    one = replica(database, clock)
    await one.renew()
    (old,) = kids(one)
    clock.pass_time(30 * LIFETIME)
    assert signer(one, clock) == old  # nobody renewed for days: it signs on
    restarted = replica(database, clock)
    await restarted.renew()
    assert len(kids(restarted)) == 2
    assert signer(restarted, clock) == old, "the new one must become known first"
    clock.pass_time(KEY_AHEAD_SECONDS)
    assert signer(restarted, clock) != old


async def test_private_key_is_not_in_the_database(database: Database) -> None:
    clock = Clock()
    await replica(database, clock).renew()
    async with database.read() as session:
        (sealed,) = await session.scalars(select(AssertionKey.sealed))
    stranger = replica(database, clock, secrets=(OTHER_SECRET,))
    with pytest.raises(Unreadable):
        await stranger.load()
    assert b"PRIVATE" not in sealed
    made = new_key(1, signs_from=0)
    assert made.private.private_numbers().private_value.to_bytes(32, "big") not in sealed


async def test_secret_is_changed_without_losing_the_keys(database: Database) -> None:
    clock = Clock()
    await replica(database, clock).renew()
    both = replica(database, clock, secrets=(OTHER_SECRET, SECRET))
    clock.pass_time(LIFETIME)
    await both.renew()
    assert len(kids(both)) == 2
    with pytest.raises(Unreadable):
        await replica(database, clock).load()


@pytest.mark.parametrize("change", [{"signs_from": 1}, {"sequence": 7}, {"sealed": b"x" * 150}, {"sealed": b""}])
async def test_row_that_was_tampered_with_is_not_believed(database: Database, change: dict[str, object]) -> None:
    clock = Clock()
    await replica(database, clock).renew()
    async with database.begin() as session:
        await session.execute(update(AssertionKey).values(**change))
    with pytest.raises(Unreadable):
        await replica(database, clock).load()


async def test_stored_keys_that_cannot_be_read_leave_the_known_ones_signing(database: Database) -> None:
    clock = Clock()
    one = replica(database, clock)
    await one.renew()
    before = kids(one)
    async with database.begin() as session:
        session.add(AssertionKey(sequence=2, signs_from=0, sealed=b"planted"))
    with pytest.raises(Unreadable):
        await one.renew()
    assert kids(one) == before
    assert signer(one, clock) == before[0]


async def test_emptied_table_ends_all_keys_and_makes_a_new_one(database: Database) -> None:
    clock = Clock()
    one = replica(database, clock)
    await one.renew()
    (leaked,) = kids(one)
    async with database.begin() as session:
        await session.execute(delete(AssertionKey))
    await one.renew()
    assert leaked not in kids(one)
    assert signer(one, clock) != leaked


async def test_place_in_the_sequence_is_taken_once(database: Database) -> None:
    made = next_key([], now=0, lifetime=LIFETIME)
    assert made is not None
    assert made.sequence == 1
    following = next_key([replace(made, signs_from=0)], now=LIFETIME - KEY_AHEAD_SECONDS, lifetime=LIFETIME)
    assert following is not None
    assert (following.sequence, following.signs_from) == (2, LIFETIME)
