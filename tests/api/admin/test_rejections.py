"""`GET …/rejections`: an admin sees why a tenant's tokens are refused, and no token."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from tenants_api.devkit.realms import DevRealmServer
from tenants_api.replica.reporter import MAX_ROWS_PER_TENANT, MAX_TENANTS_PER_WRITE
from tenants_api.tokens.errors import Refusal
from tests.support.stack import ApiClient, onboard, running_app
from tests.support.tokens import b64


async def rejections(client: ApiClient, slug: str = "acme") -> list[dict[str, Any]]:
    await client.app.state.services.reporter.flush()
    answer = await client.admin("GET", f"/tenants/{slug}/rejections")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


@pytest.fixture
async def fresh(realms: DevRealmServer, tmp_path: Path) -> Any:
    async with running_app(tmp_path, realms, login_rate=1000) as client:
        await onboard(client, "acme")
        await onboard(client, "globex")
        yield client


async def test_refused_token_is_told_with_what_names_its_sender(fresh: ApiClient) -> None:
    realm = fresh.server.realm("acme")
    for _ in range(3):
        assert (await fresh.me(realm.mint(claims={"aud": "billing"}))).status_code == 401
    assert (await fresh.me(realm.mint())).status_code == 200
    (found,) = await rejections(fresh)
    assert {name: found[name] for name in ("reason", "azp", "aud", "count")} == {
        "reason": "wrong_audience",
        "azp": "web",
        "aud": ["billing"],
        "count": 3,
    }
    assert found["kid"] == realm.keys.signing("RS256").kid
    assert found["since"] <= found["time"]
    assert await rejections(fresh, "globex") == []


async def test_unknown_issuer_belongs_to_nobody_and_writes_nothing(fresh: ApiClient) -> None:
    """Promise 2."""
    stranger = fresh.server.realm("acme").mint(claims={"iss": "https://stranger.example/realms/x"})
    for _ in range(5):
        assert (await fresh.me(stranger)).status_code == 401
    assert fresh.app.state.services.reporter.rejections.size == 0


async def test_flood_of_invented_kids_is_one_row_beyond_the_first_fifty(fresh: ApiClient) -> None:
    """Between two writes; nothing is awaited here, so that none comes in between."""
    tenant = (await fresh.admin("GET", "/tenants/acme")).json()
    kept = fresh.app.state.services.reporter.rejections
    for number in range(300):
        kept.note(Refusal("key", "unknown_key", tenant_id=uuid.UUID(tenant["id"]), kid=f"invented-{number}"))
    assert kept.size == MAX_ROWS_PER_TENANT + 1
    found = await rejections(fresh)
    assert sorted(one["count"] for one in found) == [1] * MAX_ROWS_PER_TENANT + [300 - MAX_ROWS_PER_TENANT]


async def test_what_the_sender_wrote_is_shortened_and_holds_no_token(fresh: ApiClient) -> None:
    """Whoever may ask for tokens of a realm chooses `azp` and `aud`, and hides anything there."""
    realm = fresh.server.realm("acme")
    token = realm.mint()
    for claims in ({"azp": token}, {"aud": [token, "x" * 500, 7, "a\x00b", "1", "2", "3"]}, {"azp": {"a": 1}}):
        await fresh.me(realm.mint(claims={"aud": "other", **claims}))
    found = await rejections(fresh)
    assert len(found) == 3
    assert token[:40] not in str(found)
    assert all(len(text) <= 101 for one in found for text in [*one["aud"], one["azp"] or ""])


async def test_many_tenants_between_two_writes_are_bounded(fresh: ApiClient) -> None:
    kept = fresh.app.state.services.reporter.rejections
    for _ in range(MAX_TENANTS_PER_WRITE + 50):
        kept.note(Refusal("key", "unknown_key", tenant_id=uuid.uuid4(), kid="k"))
    assert kept.size == MAX_TENANTS_PER_WRITE
    assert await rejections(fresh) == []  # none of them exists


async def test_explain_and_outages_are_no_refused_tokens(fresh: ApiClient) -> None:
    realm = fresh.server.realm("acme")
    answer = await fresh.admin("POST", "/tokens/explain", json={"token": realm.mint(claims={"aud": "billing"})})
    assert answer.json()["reason"] == "wrong_audience"
    assert await rejections(fresh) == []


async def test_what_is_kept_survives_a_stop_of_the_process(realms: DevRealmServer, tmp_path: Path) -> None:
    async with running_app(tmp_path, realms) as client:
        await onboard(client, "acme")
        await client.me(realms.realm("acme").mint(claims={"aud": "billing"}))
    async with running_app(tmp_path, realms) as client:
        assert [one["count"] for one in await rejections(client)] == [1]


def _header(kid: str) -> str:
    return b64(json.dumps({"alg": "RS256", "typ": "JWT", "kid": kid}).encode())
