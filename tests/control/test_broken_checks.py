"""A check that breaks of a mistake of ours: the change before it is made, and other realms are checked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from sqlalchemy import update

from tenants_api.composition import Services
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.outbound.targets import Address
from tenants_api.registry import repository
from tenants_api.registry.models import Realm, Tenant
from tenants_api.registry.values import TenantState
from tests.support.realms import CHANGE, services_for, settings_for, tenant_draft


@dataclass
class Resolving:
    """A resolver with a mistake in it, while `broken`."""

    broken: bool = False

    async def __call__(self, host: str, port: int) -> list[Address]:
        if self.broken:
            raise RuntimeError("a mistake")
        return [ip_address("127.0.0.1")]


@pytest.fixture
def resolver() -> Resolving:
    return Resolving()


@pytest.fixture
async def services(realms: DevRealmServer, tmp_path: Path, resolver: Resolving) -> AsyncIterator[Services]:
    async with services_for(settings_for(realms, tmp_path, reconcile_interval=900), resolver=resolver) as opened:
        yield opened


async def onboard(services: Services, realms: DevRealmServer, name: str) -> Tenant:
    draft = tenant_draft(services, realms, name)
    return await services.commands.create(draft, activate="when_ready", change=CHANGE)


def reasons(tenant: Tenant) -> dict[str, str]:
    return {one.type: one.reason for one in tenant.realms[0].conditions}


async def test_change_whose_check_breaks_is_answered_as_made(
    services: Services, realms: DevRealmServer, resolver: Resolving
) -> None:
    resolver.broken = True
    tenant = await onboard(services, realms, "acme")
    assert tenant.state == TenantState.DRAFT
    assert reasons(tenant)["RealmReachable"] == reasons(tenant)["Ready"] == "Unexpected"
    added = tenant_draft(services, realms, "globex").realms[0]
    assert (await services.commands.add_realm("acme", added, change=CHANGE)).issuer == added.issuer
    resolver.broken = False
    assert (await services.commands.check_tenant("acme", change=CHANGE, activate=True)).state == TenantState.ACTIVE


async def test_check_that_breaks_ends_neither_the_reconciler_nor_the_checks_of_other_realms(
    services: Services, realms: DevRealmServer, resolver: Resolving
) -> None:
    for name in ("acme", "globex"):
        assert (await onboard(services, realms, name)).state == TenantState.ACTIVE
    async with services.database.begin() as session:
        await session.execute(update(Realm).values(checked_at=datetime(2020, 1, 1, tzinfo=UTC)))
    resolver.broken = True
    assert services.reconciler is not None
    assert await services.reconciler.check_due() == 2
    for name in ("acme", "globex"):
        async with services.database.read() as session:
            assert reasons(await repository.get_tenant(session, ref=name))["Ready"] == "Unexpected"
