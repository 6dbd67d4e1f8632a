"""Admin API keys: shown once, kept as digests, ended by time or by hand."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from tenants_api.control.admin_keys import create_admin_key, find_admin_key, list_admin_keys, revoke_admin_key
from tenants_api.database.engine import Database
from tenants_api.database.pagination import PageRequest
from tenants_api.errors import ValidationFailed
from tenants_api.registry import audit
from tenants_api.registry.errors import ApiKeyNotFound
from tenants_api.registry.models import AdminApiKey
from tests.registry.drafts import CHANGE

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def make(database: Database, *, expires_at: datetime | None = None) -> tuple[AdminApiKey, str]:
    async with database.begin() as session:
        return await create_admin_key(
            session, name="ci", scopes=("tenants:read", "audit:read"), expires_at=expires_at, change=CHANGE
        )


async def find(database: Database, presented: str, *, now: datetime = NOW) -> AdminApiKey | None:
    async with database.read() as session:
        return await find_admin_key(session, presented=presented, now=now)


async def test_key_is_found_by_its_whole_text_alone(database: Database) -> None:
    row, presented = await make(database)
    _, other = await make(database)
    assert re.fullmatch(r"tak_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", presented)
    found = await find(database, presented)
    assert found is not None
    assert (found.id, found.scopes) == (row.id, ["audit:read", "tenants:read"])
    mixed = f"tak_{row.key_id}_{other[17:]}"
    for wrong in (presented[:-1], presented + "A", presented.upper(), mixed, f"tak_{row.key_id}_", row.digest, ""):
        assert await find(database, wrong) is None


@pytest.mark.parametrize("wrong", ["tak_\x00_x", "tak_é_x", "tak__", "tak_%_x", "Bearer x", "tak_" + "a" * 9000])
async def test_text_of_another_shape_is_no_key(database: Database, wrong: str) -> None:
    await make(database)
    assert await find(database, wrong) is None


async def test_database_and_trail_hold_the_digest_alone(database: Database) -> None:
    row, presented = await make(database)
    secret = presented.rpartition(f"{row.key_id}_")[2]
    async with database.read() as session:
        rows = (await session.execute(text("select * from admin_api_keys"))).all()
        events = (await session.execute(text("select * from audit_events"))).all()
    assert secret not in f"{rows}{events}"
    assert row.digest == hashlib.sha256(presented.encode()).hexdigest()
    assert row.digest not in str(events)


async def test_expired_key_is_refused_from_its_moment_on(database: Database) -> None:
    _, presented = await make(database, expires_at=NOW)
    assert await find(database, presented, now=NOW - timedelta(seconds=1)) is not None
    assert await find(database, presented, now=NOW) is None


@pytest.mark.parametrize("by", ["id", "key_id"])
async def test_revoked_key_is_refused_and_no_other_is(database: Database, by: str) -> None:
    row, presented = await make(database)
    _, other = await make(database)
    for _ in range(2):  # once more changes nothing
        async with database.begin() as session:
            await revoke_admin_key(session, key_id=str(getattr(row, by)), change=CHANGE)
    assert await find(database, presented) is None
    assert await find(database, other) is not None
    async with database.read() as session:
        assert [one.revoked_at is None for one in await list_admin_keys(session)] == [False, True]
        trail = await audit.list_events(session, target=str(row.id), page=PageRequest())
    assert [event.action for event in trail.items] == ["api_key.revoked", "api_key.created"]
    assert trail.items[0].changes == {"before": {"name": "ci", "scopes": ["audit:read", "tenants:read"]}, "after": {}}


async def test_key_that_does_not_exist_cannot_be_revoked(database: Database) -> None:
    with pytest.raises(ApiKeyNotFound):
        async with database.begin() as session:
            await revoke_admin_key(session, key_id="nothing", change=CHANGE)


@pytest.mark.parametrize("scopes", [(), ("tenants:read", "everything")])
async def test_key_has_known_scopes_and_at_least_one(database: Database, scopes: tuple[str, ...]) -> None:
    with pytest.raises(ValidationFailed):
        async with database.begin() as session:
            await create_admin_key(session, name="ci", scopes=scopes, expires_at=None, change=CHANGE)
