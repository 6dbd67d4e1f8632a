"""Conditions that live traffic shows: `AudienceConfigured` and `RolesMapped`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from tenants_api.database.errors import StorageError
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.registry.conditions import learn
from tenants_api.registry.values import ConditionValue, LearnedConditions
from tenants_api.replica.sql_storage import SessionStorage
from tenants_api.replica.traffic import MAX_PENDING_REALMS, Traffic
from tests.support.stack import ApiClient, onboard, running_app

WITHOUT_ROLES = {"realm_access": {"roles": []}, "resource_access": {}, "groups": []}
UNKNOWN = ("Unknown", "NoSampleToken")


@pytest.fixture
async def fresh(realms: DevRealmServer, tmp_path: Path) -> AsyncIterator[ApiClient]:
    async with running_app(tmp_path, realms) as client:
        await onboard(client, "acme")
        yield client


async def conditions(client: ApiClient, slug: str = "acme") -> dict[str, Any]:
    await client.app.state.services.reporter.flush()
    answer = await client.admin("GET", f"/tenants/{slug}")
    return {one["type"]: one for one in answer.json()["conditions"]}


async def outcome(client: ApiClient, name: str) -> tuple[str, str] | None:
    found = (await conditions(client)).get(name)
    return (found["status"], found["reason"]) if found is not None else None


async def send(client: ApiClient, status: int = 200, **claims: Any) -> None:
    assert (await client.me(client.server.realm("acme").mint(claims=claims))).status_code == status


async def realm_id(client: ApiClient) -> str:
    found: str = (await client.admin("GET", "/tenants/acme")).json()["realms"][0]["id"]
    return found


async def test_first_accepted_token_confirms_audience_and_roles(fresh: ApiClient) -> None:
    assert await outcome(fresh, "AudienceConfigured") == UNKNOWN
    await send(fresh)
    assert await outcome(fresh, "AudienceConfigured") == ("True", "TokenAccepted")
    assert await outcome(fresh, "RolesMapped") == ("True", "RoleMapped")
    assert (await conditions(fresh))["Ready"]["status"] == "True"


async def test_only_refusals_for_the_audience_name_the_client_without_a_mapper(fresh: ApiClient) -> None:
    await send(fresh, 401, aud=["billing"], azp="spa")
    found = (await conditions(fresh))["AudienceConfigured"]
    assert (found["status"], found["reason"]) == ("False", "TokensRefused")
    for text in ("['billing']", "expected one of tenants-api", "audience mapper for tenants-api to client spa"):
        assert text in found["message"]

    await send(fresh)
    assert await outcome(fresh, "AudienceConfigured") == ("True", "TokenAccepted")
    await send(fresh, 401, aud=["billing"], azp="spa")
    assert await outcome(fresh, "AudienceConfigured") == ("True", "TokenAccepted")


async def test_tokens_without_a_role_turn_the_condition_until_a_user_has_one(fresh: ApiClient) -> None:
    await send(fresh, **WITHOUT_ROLES)
    found = (await conditions(fresh))["RolesMapped"]
    assert (found["status"], found["reason"]) == ("False", "NoRoleMapped")
    assert "expected one of admin, editor, viewer: give users a client role of tenants-api" in found["message"]
    await send(fresh)
    assert await outcome(fresh, "RolesMapped") == ("True", "RoleMapped")
    await send(fresh, **WITHOUT_ROLES)
    assert await outcome(fresh, "RolesMapped") == ("True", "RoleMapped")


async def test_token_without_a_valid_signature_turns_nothing(fresh: ApiClient) -> None:
    head, payload, signature = fresh.server.realm("acme").mint(claims={"aud": ["billing"]}).split(".")
    forged = f"{head}.{payload}.{signature[::-1]}"
    assert (await fresh.me(forged)).status_code == 401
    assert await outcome(fresh, "AudienceConfigured") == UNKNOWN


async def test_a_check_without_a_token_keeps_what_tokens_have_shown(fresh: ApiClient) -> None:
    await send(fresh)
    await conditions(fresh)
    assert (await fresh.admin("POST", "/tenants/acme/checks")).status_code == 200
    assert await outcome(fresh, "AudienceConfigured") == ("True", "TokenAccepted")
    assert await outcome(fresh, "RolesMapped") == ("True", "RoleMapped")


async def test_another_audience_is_learned_again(fresh: ApiClient) -> None:
    await send(fresh)
    await conditions(fresh)
    path = f"/tenants/acme/realms/{await realm_id(fresh)}"
    etag = (await fresh.admin("GET", path)).headers["ETag"]
    changed = await fresh.admin("PATCH", path, json={"audiences": ["billing"]}, headers={"If-Match": etag})
    assert changed.status_code == 200, changed.text
    assert await outcome(fresh, "AudienceConfigured") in (UNKNOWN, None)
    assert await outcome(fresh, "RolesMapped") is None
    await send(fresh, 401)
    assert await outcome(fresh, "AudienceConfigured") == ("False", "TokensRefused")
    await send(fresh, aud="billing")
    assert await outcome(fresh, "AudienceConfigured") == ("True", "TokenAccepted")


async def test_another_role_mapping_is_learned_again(fresh: ApiClient) -> None:
    await send(fresh)
    await conditions(fresh)
    etag = (await fresh.admin("GET", "/tenants/acme/role-mapping")).headers["ETag"]
    rule = [{"from": "group", "value": "/nobody", "role": "admin"}]
    changed = await fresh.admin("PUT", "/tenants/acme/role-mapping", json=rule, headers={"If-Match": etag})
    assert changed.status_code == 200, changed.text
    assert await outcome(fresh, "RolesMapped") is None
    await send(fresh, jti="another")
    found = (await conditions(fresh))["RolesMapped"]
    assert (found["status"], found["reason"]) == ("False", "NoRoleMapped")
    assert "correct the tenant's role mapping" in found["message"]


async def test_note_of_before_a_change_is_not_stored(fresh: ApiClient) -> None:
    await send(fresh)  # noted, and not stored yet
    etag = (await fresh.admin("GET", "/tenants/acme/role-mapping")).headers["ETag"]
    rule = [{"from": "group", "value": "/nobody", "role": "admin"}]
    await fresh.admin("PUT", "/tenants/acme/role-mapping", json=rule, headers={"If-Match": etag})
    assert await outcome(fresh, "RolesMapped") is None


async def test_replica_that_lags_stores_nothing_of_an_earlier_version(fresh: ApiClient) -> None:
    services = fresh.app.state.services
    realm = services.replica.find(fresh.server.realm("acme").issuer)
    version = services.replica.tenant_of(realm.id).changed_version
    value = ConditionValue("RolesMapped", "True", "RoleMapped", "seen before a change")
    storage, now = SessionStorage(services.database), datetime.now(UTC)
    late = LearnedConditions(realm.id, version - 1, (value,))
    assert await storage.learn_conditions([late], now=now) == {realm.id}
    assert await outcome(fresh, "RolesMapped") is None
    assert await storage.learn_conditions([replace(late, changed_version=version)], now=now) == set()
    assert await outcome(fresh, "RolesMapped") == ("True", "RoleMapped")

    without = ConditionValue("RolesMapped", "False", "NoRoleMapped", "seen by another replica")
    async with services.database.begin() as session:
        assert await learn(session, LearnedConditions(realm.id, version, (without,)), now=now)
    assert await outcome(fresh, "RolesMapped") == ("True", "RoleMapped")


async def test_two_replicas_share_what_one_has_seen(realms: DevRealmServer, tmp_path: Path) -> None:
    async with running_app(tmp_path, realms) as first:
        await onboard(first, "acme")
        await send(first)
        await conditions(first)
        async with running_app(tmp_path, realms) as second:
            await send(second, 401, aud=["billing"])
            assert await outcome(second, "AudienceConfigured") == ("True", "TokenAccepted")


class Gone(SessionStorage):
    """A database that cannot be written."""

    async def learn_conditions(self, learned: Sequence[LearnedConditions], *, now: datetime) -> set[UUID]:
        raise StorageError(OSError("gone"))


async def test_outage_loses_nothing_and_is_logged_once(fresh: ApiClient) -> None:
    services = fresh.app.state.services
    realm = services.replica.find(fresh.server.realm("acme").issuer)
    traffic = Traffic(Gone(services.database), replica=services.replica, roles=["viewer"], clocks=services.clocks)
    with capture_logs() as logs:
        traffic.accepted(realm, has_role=True)
        await traffic.flush()
        await traffic.flush()
    assert [one["event"] for one in logs] == ["conditions_not_stored"]
    assert len(traffic) == 1


async def test_noted_realms_are_bounded(fresh: ApiClient) -> None:
    services = fresh.app.state.services
    realm = services.replica.find(fresh.server.realm("acme").issuer)
    for _ in range(MAX_PENDING_REALMS + 5):
        services.reporter.traffic.accepted(replace(realm, id=uuid4()), has_role=True)
    assert len(services.reporter.traffic) == MAX_PENDING_REALMS
    await services.reporter.flush()  # none of them is registered
    assert len(services.reporter.traffic) == 0
