"""A realm whose issuer or URL was changed: the keys, the reports and the health of before are worth nothing for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tenants_api.composition import Services
from tenants_api.control import service
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.outbound.targets import Address
from tenants_api.registry import repository
from tenants_api.registry.models import Realm, RealmKeysRow
from tenants_api.registry.repository import registered_draft
from tenants_api.settings import Settings
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.explain import explain
from tests.replica.storage.stores import rows_of
from tests.support.realms import CHANGE, services_for, settings_for, tenant_draft


@pytest.fixture
def settings(realms: DevRealmServer, tmp_path: Path) -> Settings:
    return settings_for(realms, tmp_path, reconcile_interval=3600)


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_for(settings, background=False) as opened:
        yield opened


async def registered(services: Services) -> Realm:
    async with services.database.read() as session:
        return (await repository.get_tenant(session, ref="acme")).realms[0]


async def move(services: Services, realms: DevRealmServer, **changes: Any) -> None:
    """What PATCH does: the realm of acme is the one called `moved` from now on, or what the changes say."""
    realm, issuer = await registered(services), realms.realm("moved").issuer
    draft = replace(registered_draft(realm), **(changes or {"issuer": issuer, "realm_url": issuer}))
    async with services.database.begin() as session:
        await service.update_realm(session, ref="acme", realm_id=realm.id, draft=draft, if_match=None, change=CHANGE)


@asynccontextmanager
async def overtaken(settings: Settings, realms: DevRealmServer) -> AsyncIterator[tuple[Services, list[Services]]]:
    """Services whose realm moves while a check waits for the name server, once they are put into the list."""
    moving: list[Services] = []

    async def resolver(host: str, port: int) -> list[Address]:
        if moving:
            await move(moving.pop(), realms)
        return [ip_address(host)]

    async with services_for(settings, background=False, resolver=resolver) as services:
        yield services, moving


async def reason(services: Services, raw: str) -> str:
    return (await explain(services.verifier, Credential.bearer(raw))).reason


def forged(realms: DevRealmServer) -> str:
    """Signed by the old realm's key, in the name of the new issuer."""
    return realms.realm("acme").mint(claims={"iss": realms.realm("moved").issuer})


async def test_moved_issuer_never_has_the_old_realms_keys(
    services: Services, realms: DevRealmServer, settings: Settings
) -> None:
    for name in ("acme", "globex"):
        await services.commands.create(tenant_draft(services, realms, name), activate="now", change=CHANGE)
    assert await reason(services, realms.realm("acme").mint()) == "accepted"
    realms.realm("moved").faults.down = True
    await move(services, realms)
    await services.replica.refresh()
    assert await reason(services, realms.realm("acme").mint()) == "unknown_issuer"
    assert await reason(services, forged(realms)) == "keys_unavailable"
    async with services_for(settings, background=False) as restarted:
        assert await reason(restarted, forged(realms)) == "keys_unavailable"
        assert await reason(restarted, realms.realm("globex").mint()) == "accepted"
        realms.realm("moved").faults.clear()
        await restarted.replica.refresh_keys((await registered(services)).id)
        assert await reason(restarted, realms.realm("moved").mint()) == "accepted"
        assert await reason(restarted, forged(realms)) in ("unknown_key", "bad_signature")


async def test_replica_that_has_not_heard_of_the_move_stores_nothing(
    services: Services, realms: DevRealmServer, settings: Settings
) -> None:
    await services.commands.create(tenant_draft(services, realms, "acme"), activate="now", change=CHANGE)
    async with services_for(settings, background=False) as late:
        assert await reason(late, realms.realm("acme").mint()) == "accepted"
        await move(services, realms)
        await late.replica.refresh_keys((await registered(services)).id)
        stored = await rows_of(services.database, RealmKeysRow)
        assert [row["issuer"] for row in stored] in ([], [realms.realm("moved").issuer])
        assert (await registered(services)).health == "unknown"
    realms.realm("moved").faults.down = True
    async with services_for(settings, background=False) as restarted:
        assert await reason(restarted, forged(realms)) == "keys_unavailable"


async def test_report_of_a_realm_that_was_changed_while_it_was_checked_is_dropped(
    settings: Settings, realms: DevRealmServer
) -> None:
    """The change comes while the reconciler waits for the name server."""
    async with overtaken(settings, realms) as (services, moving):
        await services.commands.create(tenant_draft(services, realms, "acme"), activate="now", change=CHANGE)
        async with services.database.begin() as session:
            (await session.get_one(Realm, (await registered(services)).id)).checked_at = None
        assert services.reconciler is not None
        moving.append(services)
        assert await services.reconciler.check_due() == 1
        assert moving == []
        assert await rows_of(services.database, RealmKeysRow) == []
        realm = await registered(services)
        assert (realm.health, realm.conditions, realm.checked_at) == ("unknown", [], None)
        await services.replica.refresh()
        realms.realm("moved").faults.down = True
        assert await reason(services, forged(realms)) == "keys_unavailable"


async def test_draft_whose_issuer_is_changed_while_it_is_checked_is_checked_again_before_it_is_activated(
    settings: Settings, realms: DevRealmServer
) -> None:
    async with overtaken(settings, realms) as (services, moving):
        await services.commands.create(tenant_draft(services, realms, "acme"), activate="never", change=CHANGE)
        moving.append(services)
        tenant = await services.commands.activate("acme", change=CHANGE)
        assert (tenant.state, tenant.realms[0].issuer) == ("active", realms.realm("moved").issuer)
        assert await reason(services, realms.realm("moved").mint()) == "accepted"
        assert [row["issuer"] for row in await rows_of(services.database, RealmKeysRow)] == [
            realms.realm("moved").issuer
        ]


async def test_keys_of_a_check_that_a_move_overtook_are_not_taken(settings: Settings, realms: DevRealmServer) -> None:
    async with overtaken(settings, realms) as (services, moving):
        await services.commands.create(tenant_draft(services, realms, "acme"), activate="now", change=CHANGE)
        moving.append(services)
        tenant = await services.commands.check_tenant("acme", change=CHANGE)
        assert tenant.realms[0].issuer == realms.realm("moved").issuer
        realms.realm("moved").faults.down = True
        assert await reason(services, forged(realms)) == "keys_unavailable"
        assert await rows_of(services.database, RealmKeysRow) == []


async def test_fetch_under_way_for_the_old_issuer_reaches_neither_the_new_one_nor_the_database(
    services: Services, realms: DevRealmServer
) -> None:
    await services.commands.create(tenant_draft(services, realms, "acme"), activate="now", change=CHANGE)
    realm_id = (await registered(services)).id
    under_way = asyncio.create_task(services.replica.refresh_keys(realm_id))
    await asyncio.sleep(0)
    await move(services, realms)
    await services.replica.refresh()
    await asyncio.wait({under_way})
    error = under_way.exception()
    assert error is None or getattr(error, "code", None) == "keys_unavailable"
    assert [row["issuer"] for row in await rows_of(services.database, RealmKeysRow)] in (
        [],
        [realms.realm("moved").issuer],
    )
    assert await reason(services, realms.realm("moved").mint()) == "accepted"
    assert await reason(services, forged(realms)) in ("unknown_key", "bad_signature")
