"""The trail: one event a change, in the change's own transaction."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import delete, text
from sqlalchemy.exc import ProgrammingError

from tenants_api.control import service
from tenants_api.control.recording import create as create_tenant
from tenants_api.database.engine import Database
from tenants_api.database.pagination import PageRequest
from tenants_api.registry import audit
from tenants_api.registry.models import AuditEvent
from tenants_api.registry.values import Transition
from tests.registry.drafts import CHANGE, RULES, create, draft, move, purge, realm


async def events(database: Database, **where: str) -> list[AuditEvent]:
    async with database.read() as session:
        return list((await audit.list_events(session, page=PageRequest(limit=100), **where)).items)


async def test_event_is_rolled_back_with_its_change(database: Database) -> None:
    async with database.sessions() as session:
        await create_tenant(session, draft=draft("acme"), change=CHANGE)
        assert len((await audit.list_events(session, page=PageRequest())).items) == 1
        await session.rollback()
    assert await events(database) == []


async def test_event_says_who_did_what_to_whom_and_why(database: Database) -> None:
    tenant = await create(database, "acme")
    (event,) = await events(database)
    assert (event.action, event.target_type, event.target_id) == ("tenant.created", "tenant", str(tenant.id))
    assert (event.actor_type, event.actor_id, event.request_id, event.reason) == (
        "cli",
        "tests",
        "request-1",
        "because",
    )


async def test_event_keeps_only_what_differs(database: Database) -> None:
    await create(database, "acme")
    await move(database, "acme", Transition.ACTIVATE)
    newest = (await events(database))[0]
    assert newest.changes == {"before": {"state": "draft"}, "after": {"state": "active"}}


async def test_every_change_of_a_life_is_there_newest_first(database: Database) -> None:
    tenant = await create(database, "acme")
    await move(database, "acme", Transition.ACTIVATE, Transition.SUSPEND, Transition.RESUME)
    async with database.begin() as session:
        added = await service.add_realm(session, ref="acme", draft=realm("two"), change=CHANGE)
        await service.update_realm(
            session, ref="acme", realm_id=added.id, draft=realm("two", client_id="x"), if_match=None, change=CHANGE
        )
        await service.remove_realm(session, ref="acme", realm_id=added.id, if_match=None, change=CHANGE)
        await service.update_tenant(session, ref="acme", fields={"role_mapping": RULES}, if_match=None, change=CHANGE)
    await purge(database, "acme")
    assert [event.action for event in await events(database)][::-1] == [
        "tenant.created",
        "tenant.activated",
        "tenant.suspended",
        "tenant.resumed",
        "realm.added",
        "realm.updated",
        "realm.removed",
        "tenant.updated",
        "tenant.deleted",
        "tenant.purged",
    ]
    assert {event.target_id for event in await events(database)} == {str(tenant.id), str(added.id)}


async def test_filters_are_exact(database: Database) -> None:
    acme, _ = await create(database, "acme"), await create(database, "globex")
    await move(database, "acme", Transition.ACTIVATE)
    assert len(await events(database, target=str(acme.id))) == 2
    assert len(await events(database, action="tenant.created")) == 2
    assert len(await events(database, action="tenant.created", target=str(acme.id))) == 1
    assert await events(database, actor="nobody") == []


async def test_ca_bundle_is_told_of_but_not_kept(database: Database) -> None:
    await create(database, "acme")
    async with database.begin() as session:
        await service.add_realm(session, ref="acme", draft=realm("two", ca_bundle="PEM"), change=CHANGE)
    (event,) = await events(database, action="realm.added")
    assert event.changes["after"]["ca_bundle"] == f"sha256:{sha256(b'PEM').hexdigest()}"
    assert "PEM" not in str(event.changes)


@pytest.mark.parametrize(
    ("changes", "before", "after"),
    [
        ({"realm_url": "https://inside.example/realms/one"}, "https://id.example/realms/one", None),
        ({"client_id": "other"}, "tenants-api", None),
        ({"audiences": ("a", "b")}, ["tenants-api"], ["a", "b"]),
        ({"authorized_parties": ("web",)}, [], ["web"]),
        ({"algorithms": ("ES256",)}, ["RS256"], ["ES256"]),
        ({"login_client_id": "login"}, None, None),
        ({"docs_client_id": "docs"}, None, None),
        ({"enabled": False}, True, None),
        ({"issuer_check": "sample"}, "discovery", None),
        ({"ca_bundle": "PEM"}, None, f"sha256:{sha256(b'PEM').hexdigest()}"),
    ],
    ids=str,
)
async def test_replaced_tenant_leaves_every_member_of_a_realm_that_differs(
    database: Database, changes: dict[str, Any], before: object, after: object
) -> None:
    (member,) = changes
    await create(database, "acme", realms=(realm("one"),))
    await create(database, "globex", realms=(realm("two"),))
    async with database.begin() as session:
        wanted = draft("acme", realms=(realm("one", **changes),))
        await service.replace_tenant(session, ref="acme", draft=wanted, if_match=None, change=CHANGE)
    (event,) = await events(database, action="tenant.replaced")
    was, now = event.changes["before"]["realms"], event.changes["after"]["realms"]
    assert [was[0][member], now[0][member]] == [before, changes[member] if after is None else after]
    assert event.changes["after"].keys() == {"realms"}


async def test_created_and_purged_tenants_leave_their_whole_realms(database: Database) -> None:
    await create(database, "acme", realms=(realm("one", audiences=("a",), ca_bundle="PEM"), realm("two")))
    await purge(database, "acme")
    (created,) = await events(database, action="tenant.created")
    (purged,) = await events(database, action="tenant.purged")
    assert created.changes["after"]["realms"] == purged.changes["before"]["realms"]
    first, second = created.changes["after"]["realms"]
    assert (first["audiences"], second["audiences"]) == (["a"], ["tenants-api"])
    assert (first["client_id"], first["algorithms"], first["realm_url"]) == ("tenants-api", ["RS256"], first["issuer"])
    assert "PEM" not in str(created.changes)


@pytest.mark.postgres
@pytest.mark.xdist_group("postgres")
@pytest.mark.parametrize(
    "statement",
    ["update audit_events set reason = 'another'", "truncate audit_events", "select 1 from audit_events for update"],
)
async def test_role_that_serves_cannot_change_the_audit_log(server_database: Database, statement: str) -> None:
    await create(server_database, "acme")
    with pytest.raises(ProgrammingError, match="permission denied"):
        async with server_database.begin() as session:
            await session.execute(text(statement))
    assert [event.reason for event in await events(server_database)] == ["because"]
    async with server_database.begin() as session:
        await session.execute(delete(AuditEvent))  # what retention needs


async def test_entries_are_filtered_by_time_and_know_the_slug_of_their_tenant(database: Database) -> None:
    """E23"""
    await create(database, "globex")
    acme = await create(database, "acme")
    async with database.begin() as session:
        added = await service.add_realm(session, ref="globex", draft=realm("two"), change=CHANGE)
    await purge(database, "acme")
    every = await events(database)
    async with database.read() as session:
        slugs = await audit.slugs_of(session, events=every)
        page = await audit.list_events(session, page=PageRequest(limit=100), since=every[1].occurred_at)
        none = await audit.list_events(session, page=PageRequest(), since=every[0].occurred_at + timedelta(seconds=1))

    assert slugs[str(added.id)] == "globex"
    assert slugs[str(acme.id)] == "acme"  # purged: its entries have it
    assert {event.id for event in every[:2]} <= {event.id for event in page.items}
    assert not none.items
