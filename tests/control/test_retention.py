"""What is kept long enough goes, batch by batch; nothing younger does, and the trail says what was taken from it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, text

from tenants_api.control.retention import Due, Retention, count, due, first_id, remove
from tenants_api.database.engine import Base, Database
from tenants_api.ids import new_id
from tenants_api.registry.models import AuditEvent, IdempotencyKey, LoginTries, Rejection
from tests.registry.drafts import CHANGE, create

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ALL = Retention(audit_days=365, rejection_days=90)


def event(at: datetime) -> AuditEvent:
    return AuditEvent(
        id=uuid.UUID(int=first_id(at).int + (new_id().int & 0xFFFFFFFF)), action="tenant.updated", occurred_at=at,
        actor_type="cli", actor_id="tests", target_type="tenant", target_id="t", changes={},
    )  # fmt: skip


def rejection(tenant_id: uuid.UUID, at: datetime) -> Rejection:
    return Rejection(
        tenant_id=tenant_id, digest=uuid.uuid4().hex, reason="expired", audience=[], count=1, first_at=at, last_at=at
    )


def idempotency_key(at: datetime) -> IdempotencyKey:
    return IdempotencyKey(actor_id="a", key=uuid.uuid4().hex, fingerprint="f", status=201, created_at=at)


def login_try(at: datetime) -> LoginTries:
    return LoginTries(digest=uuid.uuid4().hex, minute=int(at.timestamp() // 60), count=1)


async def fill(database: Database, *rows: Base) -> None:
    async with database.begin() as session:
        session.add_all(rows)


async def left(database: Database, table: type[Base]) -> int:
    async with database.read() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


async def removed(database: Database, what: Due, *, batch: int = 1000) -> list[int]:
    return [number async for number in remove(database, what, batch=batch, change=CHANGE)]


def named(name: str, policy: Retention = ALL) -> Due:
    return next(what for what in due(policy, now=NOW) if what.name == name)


async def test_only_what_is_old_enough_goes(database: Database) -> None:
    tenant = await create(database, "acme")
    moment = timedelta(seconds=1)
    bounds = {
        "idempotency_keys": (timedelta(hours=24), idempotency_key),
        "login_tries": (timedelta(minutes=2), login_try),
        "rejections": (timedelta(days=90), lambda at: rejection(tenant.id, at)),
        "audit_events": (timedelta(days=365), event),
    }
    for name, (age, make) in bounds.items():
        await fill(database, make(NOW - age - timedelta(minutes=1)), make(NOW - age + timedelta(minutes=1)))
        what = named(name)
        async with database.read() as session:
            assert await count(session, what) == 1, name
        before = await left(database, what.table)
        assert await removed(database, what) == [1], name
        told = 1 if name == "audit_events" else 0
        assert await left(database, what.table) == before - 1 + told, name
    assert named("audit_events").before == NOW - timedelta(days=365) < NOW - moment


async def test_batches_are_transactions_of_their_own_and_an_end_in_the_middle_loses_nothing(database: Database) -> None:
    await fill(database, *(idempotency_key(NOW - timedelta(days=2)) for _ in range(25)))
    what = named("idempotency_keys")
    async for number in remove(database, what, batch=10, change=CHANGE):
        assert number == 10
        break  # the machine goes down here
    assert await left(database, IdempotencyKey) == 15
    assert await removed(database, what, batch=10) == [10, 5]
    assert await removed(database, what, batch=10) == []


async def test_trail_tells_what_was_taken_from_it_in_the_same_transaction(database: Database) -> None:
    await fill(database, *(event(NOW - timedelta(days=400)) for _ in range(3)))
    assert await removed(database, named("audit_events"), batch=2) == [2, 1]
    async with database.read() as session:
        trimmed = (await session.scalars(select(AuditEvent).order_by(AuditEvent.id))).all()
    assert [(one.action, one.actor_id, one.changes["after"]["removed"]) for one in trimmed] == [
        ("audit.trimmed", "tests", 2),
        ("audit.trimmed", "tests", 1),
    ]


async def test_zero_days_keep_for_ever(database: Database) -> None:
    names = {what.name for what in due(Retention(audit_days=0, rejection_days=0), now=NOW)}
    assert names == {"idempotency_keys", "login_tries"}
    assert "audit_events" not in {what.name for what in due(Retention(), now=NOW)}, "the trail stays unless it is told"


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_rows_that_somebody_holds_are_passed_over_not_waited_for(database: Database) -> None:
    await fill(database, *(idempotency_key(NOW - timedelta(days=2)) for _ in range(3)))
    async with database.begin() as other:
        held = await other.scalar(select(IdempotencyKey).limit(1).with_for_update())
        assert held is not None
        assert await removed(database, named("idempotency_keys")) == [2]
    assert await removed(database, named("idempotency_keys")) == [1]


async def test_events_are_found_by_their_key_without_a_scan(database: Database) -> None:
    """The trail is the table that grows for ever."""
    async with database.begin() as session:
        session.add_all(event(NOW - timedelta(days=number)) for number in range(2000))
    async with database.begin() as session:
        if database.is_postgresql:
            await session.execute(text("set local enable_seqscan = off"))  # which a table this small would rather do
        wanted = named("audit_events", Retention(audit_days=1990)).rows().order_by(AuditEvent.id).limit(100)
        literal = wanted.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
        explain = "explain" if database.is_postgresql else "explain query plan"
        plan = " ".join(str(row) for row in (await session.execute(text(f"{explain} {literal}"))).all())
    assert ("pk_audit_events" if database.is_postgresql else "USING INDEX sqlite_autoindex_audit_events_1") in plan, (
        plan
    )
