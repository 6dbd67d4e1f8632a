"""Realms of a tenant, and what the checks found of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tenants_api.control import service
from tenants_api.control.drafts import members_of, realm_draft
from tenants_api.database.engine import Database
from tenants_api.errors import EtagMismatch
from tenants_api.outbound.targets import TargetPolicy
from tenants_api.registry import conditions
from tenants_api.registry.errors import IssuerTaken, RealmNotFound
from tenants_api.registry.models import Realm
from tenants_api.registry.repository import new_realm, registered_draft
from tenants_api.registry.values import ConditionValue, Health, RealmDraft, RealmRow, names_of
from tenants_api.schemas.tenants import RealmIn, RealmOut, RealmPatch
from tests.registry.drafts import CHANGE, create, issuer_of, read, realm

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def test_realm_is_added_changed_and_removed(database: Database) -> None:
    await create(database, "acme")
    async with database.begin() as session:
        added = await service.add_realm(session, ref="acme", draft=realm("second"), change=CHANGE)
    assert len((await read(database, "acme")).realms) == 2
    async with database.begin() as session:
        changed = await service.update_realm(
            session,
            ref="acme",
            realm_id=added.id,
            draft=realm("second", audiences=("a", "b"), enabled=False),
            if_match=1,
            change=CHANGE,
        )
    assert (changed.id, changed.version, changed.audiences, changed.enabled) == (added.id, 2, ["a", "b"], False)
    async with database.begin() as session:
        await service.remove_realm(session, ref="acme", realm_id=added.id, if_match=2, change=CHANGE)
    assert [one.issuer for one in (await read(database, "acme")).realms] == [issuer_of("acme")]


async def test_change_of_a_realm_changes_its_tenants_version_too(database: Database) -> None:
    await create(database, "acme")
    async with database.begin() as session:
        await service.add_realm(session, ref="acme", draft=realm("second"), change=CHANGE)
    assert (await read(database, "acme")).version == 2


async def test_realm_of_another_tenant_is_not_found(database: Database) -> None:
    acme = await create(database, "acme")
    await create(database, "globex")
    foreign = acme.realms[0].id
    async with database.read() as session:
        with pytest.raises(RealmNotFound):
            await service.get_realm(session, ref="globex", realm_id=foreign)
    with pytest.raises(RealmNotFound):
        async with database.begin() as session:
            await service.remove_realm(session, ref="globex", realm_id=foreign, if_match=None, change=CHANGE)
    with pytest.raises(RealmNotFound):
        async with database.begin() as session:
            await service.update_realm(
                session, ref="globex", realm_id=foreign, draft=realm("x"), if_match=None, change=CHANGE
            )
    assert (await read(database, "acme")).realms[0].issuer == issuer_of("acme")


async def test_realm_of_another_version_is_not_changed(database: Database) -> None:
    tenant = await create(database, "acme")
    for if_match in (0, 2):
        with pytest.raises(EtagMismatch):
            async with database.begin() as session:
                await service.remove_realm(
                    session, ref="acme", realm_id=tenant.realms[0].id, if_match=if_match, change=CHANGE
                )


async def test_realm_cannot_take_the_issuer_of_another(database: Database) -> None:
    acme = await create(database, "acme")
    await create(database, "globex")
    with pytest.raises(IssuerTaken, match=issuer_of("globex")):
        async with database.begin() as session:
            await service.add_realm(session, ref="acme", draft=realm("globex"), change=CHANGE)
    with pytest.raises(IssuerTaken, match=issuer_of("globex")):
        async with database.begin() as session:
            await service.update_realm(
                session,
                ref="acme",
                realm_id=acme.realms[0].id,
                draft=realm("globex"),
                if_match=None,
                change=CHANGE,
            )


def found(**statuses: str) -> list[ConditionValue]:
    return [ConditionValue(type_, status, f"{status}Reason", "told") for type_, status in statuses.items()]


async def store(database: Database, *, slug: str, now: datetime, health: Health | None = None, **statuses: str) -> None:
    realm_id = (await read(database, slug)).realms[0].id
    async with database.begin() as session:
        await conditions.store_conditions(
            session, realm_id=realm_id, version=1, conditions=found(**statuses), health=health, now=now
        )


async def test_transition_time_moves_only_when_the_status_does(database: Database) -> None:
    await create(database, "acme")
    await store(database, slug="acme", now=NOON, IssuerValid="True", KeysFetched="False")
    later = NOON + timedelta(hours=1)
    await store(database, slug="acme", now=later, IssuerValid="True", KeysFetched="True")
    stored = {one.type: one.last_transition_time for one in (await read(database, "acme")).realms[0].conditions}
    assert stored == {"IssuerValid": NOON, "KeysFetched": later}


async def test_conditions_keep_their_order_and_only_the_last_ones_stay(database: Database) -> None:
    await create(database, "acme")
    await create(database, "globex")
    await store(database, slug="globex", now=NOON, Other="True")
    await store(database, slug="acme", now=NOON, Zeta="True", Gone="True")
    await store(database, slug="acme", now=NOON, Zeta="True", Alpha="Unknown", health=Health.DEGRADED)
    realm_now = (await read(database, "acme")).realms[0]
    assert ([one.type for one in realm_now.conditions], realm_now.health) == (["Zeta", "Alpha"], "degraded")
    assert [one.type for one in (await read(database, "globex")).realms[0].conditions] == ["Other"]


async def test_observation_is_no_change_of_the_tenant(database: Database) -> None:
    before = await create(database, "acme")
    await store(database, slug="acme", now=NOON, health=Health.HEALTHY, Ready="True")
    after = await read(database, "acme")
    assert (after.version, after.changed_version, after.realms[0].version) == (1, before.changed_version, 1)


async def test_two_checks_of_one_realm_at_the_same_instant_both_end(database: Database) -> None:
    await create(database, "acme")
    await asyncio.gather(*(store(database, slug="acme", now=NOON, Ready="True", IssuerValid="True") for _ in range(4)))
    assert len((await read(database, "acme")).realms[0].conditions) == 2


async def test_each_member_of_a_realm_is_a_column_a_member_of_requests_and_files_and_shown() -> None:
    """One that is forgotten somewhere would be lost without a word."""
    members = names_of(RealmDraft)
    assert set(members) <= set(Realm.__table__.columns.keys())
    assert tuple(RealmIn.model_fields) == tuple(RealmPatch.model_fields) == members
    assert set(members) <= set(RealmOut.model_fields)
    assert set(names_of(RealmRow)) <= {*members, "id", "not_before"}


async def test_registered_realm_is_described_by_the_members_that_differ_from_their_defaults() -> None:
    values: dict[str, Any] = {
        "issuer": "https://id.example/realms/acme", "realm_url": "https://inside.example/realms/acme",
        "organization": "red", "client_id": "api", "audiences": ["api", "web"], "authorized_parties": ["web"],
        "algorithms": ["ES256"], "login_client_id": "login", "docs_client_id": "docs", "enabled": False,
        "issuer_check": "sample",
    }  # fmt: skip
    policy = TargetPolicy(frozenset(), (), frozenset({443}))
    for members in (values, {name: values[name] for name in ("issuer", "client_id")}):
        draft = realm_draft(policy=policy, **members)
        assert members_of(registered_draft(new_realm(draft))) == members
        assert registered_draft(new_realm(draft)) == draft
