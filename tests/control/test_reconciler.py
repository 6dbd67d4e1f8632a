"""Conditions and health of realms that nobody uses, and of those whose keys could not be fetched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from tenants_api.control.checks import Report
from tenants_api.control.reconciler import Reconciler, assess
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.registry.models import Realm
from tenants_api.registry.values import ConditionValue, Health
from tests.support.stack import ApiClient, onboard, running_app

HOUR = timedelta(hours=1)


@pytest.fixture
async def client(tmp_path: Path, realms: DevRealmServer) -> AsyncIterator[ApiClient]:
    """Background work is off in tests: a turn happens when the test says so."""
    async with running_app(tmp_path, realms, reconcile_interval=900) as running:
        yield running


def reconciler(client: ApiClient) -> Reconciler:
    found = client.app.state.services.reconciler
    assert isinstance(found, Reconciler)
    return found


async def age_checks(client: ApiClient) -> None:
    """All checks are an hour old."""
    async with client.app.state.services.database.begin() as session:
        await session.execute(update(Realm).values(checked_at=datetime.now(UTC) - HOUR))


async def read(client: ApiClient, tenant: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Health of the tenant's realm, and its conditions by type."""
    document = (await client.admin("GET", f"/tenants/{tenant['id']}")).json()
    return document["realms"][0]["health"], {one["type"]: one for one in document["realms"][0]["conditions"]}


async def test_realm_that_was_just_checked_is_left_alone(client: ApiClient) -> None:
    await onboard(client, "acme")
    assert await reconciler(client).check_due() == 0


async def test_idle_realm_that_was_disabled_is_found_and_recovers(client: ApiClient) -> None:
    tenant = await onboard(client, "acme")
    realm = client.server.realm("acme")
    realm.disable()
    try:
        await age_checks(client)
        assert await reconciler(client).check_due() == 1
        health, conditions = await read(client, tenant)
        assert (health, conditions["RealmEnabled"]["reason"]) == ("failing", "RealmDisabled")
    finally:
        realm.enable()
    await age_checks(client)
    await reconciler(client).check_due()
    health, conditions = await read(client, tenant)
    assert (health, conditions["Ready"]["status"]) == ("healthy", "True")


async def test_change_of_health_is_in_the_audit_trail_once(client: ApiClient) -> None:
    tenant = await onboard(client, "acme")
    realm_id = tenant["realms"][0]["id"]
    client.server.realm("acme").disable()
    try:
        for _ in range(2):
            await age_checks(client)
            await reconciler(client).check_due()
    finally:
        client.server.realm("acme").enable()
    events = (await client.admin("GET", f"/audit-events?target={realm_id}&action=realm.health_changed")).json()["data"]
    changes = [(event["changes"]["after"]["health"], event["actor"]["type"]) for event in events]
    assert changes == [("failing", "system"), ("healthy", "system")]
    assert events[0]["changes"]["after"]["reason"] == "RealmDisabled"


async def test_realm_that_is_away_is_degraded_with_the_age_of_its_keys(client: ApiClient) -> None:
    tenant = await onboard(client, "acme")
    client.server.realm("acme").faults.down = True
    try:
        await age_checks(client)
        await reconciler(client).check_due()
        health, conditions = await read(client, tenant)
        assert health == "degraded"
        assert "keys fetched 0 min ago" in conditions["Ready"]["message"]
        assert (await client.me(client.server.realm("acme").mint())).status_code == 200
    finally:
        client.server.realm("acme").faults.down = False


async def test_new_keys_found_by_a_check_serve_at_once(client: ApiClient) -> None:
    await onboard(client, "globex")
    realm = client.server.realm("globex")
    realm.rotate()
    await age_checks(client)
    await reconciler(client).check_due()
    fetched = realm.requests["certs"]
    assert (await client.me(realm.mint())).status_code == 200
    assert realm.requests["certs"] == fetched


async def test_check_of_an_idle_realm_leaves_it_idle_and_its_new_keys_serve(
    tmp_path: Path, realms: DevRealmServer
) -> None:
    """Of a hundred thousand realms that are checked now and then, most stay what they are in memory: a text."""
    realm = realms.realm("initech")
    async with running_app(tmp_path, realms) as before:
        await onboard(before, "initech")
    realm.rotate()
    async with running_app(tmp_path, realms, reconcile_interval=900) as after:
        await age_checks(after)
        assert await reconciler(after).check_due() == 1
        assert list(after.app.state.services.replica.jwks_cache) == []
        fetched = realm.requests["certs"]
        assert (await after.me(realm.mint())).status_code == 200
        assert realm.requests["certs"] == fetched


async def test_suspended_tenant_is_not_checked(client: ApiClient) -> None:
    tenant = await onboard(client, "acme")
    await client.admin("POST", f"/tenants/{tenant['id']}/suspend", json={})
    await age_checks(client)
    assert await reconciler(client).check_due() == 0


def report(reason: str) -> Report:
    failed = ConditionValue("RealmReachable", "False", reason, "told")
    return Report(datetime.now(UTC), (failed, replace(failed, type="Ready")), ready=False)


@pytest.mark.parametrize(
    ("reason", "age", "health"),
    [
        ("Unreachable", timedelta(hours=3), Health.DEGRADED),
        ("Unreachable", timedelta(hours=25), Health.FAILING),
        ("Unreachable", None, Health.FAILING),
        ("RealmDisabled", timedelta(0), Health.FAILING),
        ("IssuerMismatch", timedelta(0), Health.FAILING),
    ],
)
def test_stored_keys_make_an_unreachable_realm_degraded(reason: str, age: timedelta | None, health: Health) -> None:
    now = datetime.now(UTC)
    fetched_at = now - age if age is not None else None
    found, conditions = assess(report(reason), fetched_at=fetched_at, now=now, stale_limit=timedelta(hours=24))
    assert found == health
    assert ("keys fetched 3 h ago" in conditions[-1].message) == (health == Health.DEGRADED)
