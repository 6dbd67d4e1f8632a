"""A replica that may have missed something compares everything: restored backups, and changes that left no row."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, event, text

from tenants_api.composition import Services
from tenants_api.control import service
from tenants_api.control.recording import create as create_tenant
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.registry import repository
from tenants_api.registry.models import PurgedTenant
from tenants_api.registry.values import Transition
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.explain import explain
from tests.support.realms import CHANGE, services_for, settings_for, tenant_draft


@pytest.fixture
async def replica(realms: DevRealmServer, tmp_path: Path) -> AsyncIterator[Services]:
    """It looks when a test says so."""
    async with services_for(settings_for(realms, tmp_path), background=False) as services:
        for name in ("acme", "globex"):
            await services.commands.create(tenant_draft(services, realms, name), activate="now", change=CHANGE)
        await services.replica.refresh()
        yield services


async def reasons(services: Services, realms: DevRealmServer) -> list[str]:
    return [
        (await explain(services.verifier, Credential.bearer(realms.realm(name).mint()))).reason
        for name in ("acme", "globex")
    ]


async def move(services: Services, transition: Transition) -> None:
    async with services.database.begin() as session:
        await service.move(session, ref="acme", transition=transition, change=CHANGE)


async def run_sql(services: Services, *statements: str) -> None:
    async with services.database.begin() as session:
        for statement in statements:
            await session.execute(text(statement))


async def test_restored_backup_is_read_as_a_whole(replica: Services, realms: DevRealmServer) -> None:
    await move(replica, Transition.SUSPEND)
    await replica.replica.refresh()
    assert await reasons(replica, realms) == ["tenant_suspended", "accepted"]
    await run_sql(
        replica,
        "update tenants set state = 'active', changed_version = 1 where slug = 'acme'",
        "delete from tenants where slug = 'globex'",
        "update registry_version set version = 1",
    )
    await replica.replica.refresh()
    assert await reasons(replica, realms) == ["accepted", "unknown_issuer"]
    assert replica.replica.version == 1


async def test_version_that_no_row_accounts_for_ends_in_a_full_compare(
    replica: Services, realms: DevRealmServer
) -> None:
    """A tenant is gone, and what would have told of it too: an incremental read alone would serve it for ever."""
    await move(replica, Transition.DELETE)
    async with replica.database.begin() as session:
        await service.purge_tenant(session, ref="acme", change=CHANGE)
        await session.execute(delete(PurgedTenant))
    await replica.replica.refresh()
    assert await reasons(replica, realms) == ["unknown_issuer", "accepted"]


async def test_full_compare_leaves_what_did_not_change_alone(replica: Services, realms: DevRealmServer) -> None:
    assert await reasons(replica, realms) == ["accepted", "accepted"]
    jwks_cache = {realm_keys.realm.id: realm_keys for realm_keys in replica.replica.jwks_cache}
    await run_sql(replica, "update registry_version set version = version + 5")
    await replica.replica.refresh()
    assert {realm_keys.realm.id: realm_keys for realm_keys in replica.replica.jwks_cache} == jwks_cache
    assert await reasons(replica, realms) == ["accepted", "accepted"]
    assert [realms.realm(name).requests["certs"] for name in ("acme", "globex")] == [1, 1]


async def test_one_change_reads_one_tenant(replica: Services) -> None:
    before = {slug: replica.replica.tenant_by_slug(slug) for slug in ("acme", "globex")}
    seen = replica.replica.version
    await move(replica, Transition.SUSPEND)
    with reads(replica) as sent:
        await replica.replica.refresh()
    after = {slug: replica.replica.tenant_by_slug(slug) for slug in ("acme", "globex")}
    assert after["globex"] == before["globex"]
    assert after["acme"] != before["acme"]
    # A full compare leaves the others alone too: what was asked for shows that this was none.
    tables = ["purged_tenants", "tenants", "realms", "role_rules", "organization_issuers", "realm_keys"]
    assert [table for table, _, _ in sent] == tables
    for _, statement, parameters in sent[:5]:
        assert "changed_version > ?" in statement
        assert parameters == (seen,)
    assert len(sent[5][2]) == 1, "the keys of one realm"


async def test_issuer_that_went_from_one_tenant_to_another_is_the_others_whatever_changed_last(
    replica: Services, realms: DevRealmServer
) -> None:
    """One look sees both: the new owner first, for the old one changed once more afterwards."""
    assert await reasons(replica, realms) == ["accepted", "accepted"]
    draft = tenant_draft(replica, realms, "acme")
    async with replica.database.begin() as session:
        tenant = await repository.get_tenant(session, ref="acme")
        await service.remove_realm(session, ref="acme", realm_id=tenant.realms[0].id, if_match=None, change=CHANGE)
        await create_tenant(session, draft=replace(draft, slug="heir"), change=CHANGE)
        await service.move(session, ref="heir", transition=Transition.ACTIVATE, change=CHANGE)
    await move(replica, Transition.SUSPEND)
    await replica.replica.refresh()
    assert (await replica.verifier.verify(Credential.bearer(realms.realm("acme").mint()))).tenant.slug == "heir"
    assert replica.replica.realm_count == 2


@contextmanager
def reads(services: Services) -> Iterator[list[tuple[str, str, tuple[Any, ...]]]]:
    """Table, statement and parameters of what is read meanwhile, the version's own row left out."""
    sent: list[tuple[str, str, tuple[Any, ...]]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        table = re.search(r"FROM (\w+)", statement)
        if table and table[1] != "registry_version":
            sent.append((table[1], statement, tuple(parameters)))

    engine = services.follower.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)
