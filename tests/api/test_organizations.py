"""Tenants that share one realm through Keycloak Organizations, beside a tenant that has the realm as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tenants_api.devkit.realms import DevRealm, DevRealmServer
from tests.support.realms import dev_realms
from tests.support.stack import CLIENT_ID, ApiClient, bearer, onboard, running_app


@pytest.fixture
def realms() -> Iterator[DevRealmServer]:
    with dev_realms("acme") as server:
        yield server


@pytest.fixture
async def client(realms: DevRealmServer, tmp_path: Path) -> AsyncIterator[ApiClient]:
    """An API in which `acme` has the realm as a whole, and `blue` its organization of that name."""
    async with running_app(tmp_path, realms) as opened:
        await onboard(opened, "acme")
        await register(opened, realms.realm("acme"), "blue")
        yield opened


@pytest.fixture
def realm(realms: DevRealmServer) -> DevRealm:
    return realms.realm("acme")


async def register(client: ApiClient, realm: DevRealm, slug: str, **more: Any) -> None:
    entry = {"issuer": realm.issuer, "organization": slug, "client_id": CLIENT_ID}
    body = {"slug": slug, "name": slug.title(), "realms": [entry], **more}
    answer = await client.admin("POST", "/tenants", json=body)
    assert answer.status_code == 201, answer.text


async def call(client: ApiClient, path: str, *, token: str) -> httpx.Response:
    return await client.get(path, headers=bearer(token))


def naming(realm: DevRealm, *organizations: str) -> str:
    return realm.mint(claims={"organization": list(organizations)})


async def explained(client: ApiClient, token: str) -> str:
    reason: str = (await client.admin("POST", "/tokens/explain", json={"token": token})).json()["reason"]
    return reason


@pytest.mark.parametrize(
    "state", ["draft", "suspended", "deleted", "purged", "disabled", "realm removed", "never registered"]
)
async def test_token_of_an_organization_that_does_not_serve_is_never_the_whole_realms(
    client: ApiClient, realm: DevRealm, state: str
) -> None:
    if state != "never registered":
        await register(client, realm, "red", activate="never" if state == "draft" else "when_ready")
    steps = {
        "suspended": ["suspend"], "deleted": ["delete"], "purged": ["delete", "purge"], "disabled": ["disable"],
        "realm removed": ["remove"],
    }.get(state, [])  # fmt: skip
    for step in steps:
        await _change(client, step)
    token = naming(realm, "red")
    answer = await client.me(token)
    if state == "suspended":
        assert (answer.status_code, answer.json()["code"]) == (403, "tenant_suspended")
    else:
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
        assert await explained(client, token) == "unknown_organization"
    for passing in ("/authz?tenant=acme", "/t/acme/v1/me"):
        assert (await call(client, passing, token=token)).status_code in (401, 403)
    for token, slug in ((realm.mint(), "acme"), (naming(realm, "blue"), "blue")):
        assert (await client.me(token)).json()["tenant"]["slug"] == slug


async def _change(client: ApiClient, step: str) -> None:
    if step == "delete":
        version = (await client.admin("GET", "/tenants/red")).headers["ETag"]
        answer = await client.admin("DELETE", "/tenants/red", headers={"If-Match": version})
    elif step in ("disable", "remove"):
        (entry,) = (await client.admin("GET", "/tenants/red/realms")).json()["data"]
        path = f"/tenants/red/realms/{entry['id']}"
        match = {"If-Match": (await client.admin("GET", path)).headers["ETag"]}
        if step == "disable":
            answer = await client.admin("PATCH", path, json={"enabled": False}, headers=match)
        else:
            answer = await client.admin("DELETE", path, headers=match)
    else:
        answer = await client.admin("POST", f"/tenants/red/{step}", json={})
    assert answer.status_code < 300, answer.text


async def test_path_chooses_among_the_organizations_of_a_token_and_nothing_else_does(
    client: ApiClient, realm: DevRealm
) -> None:
    for slug in ("red", "green"):
        await register(client, realm, slug)
    token = naming(realm, "red", "blue")
    for _ in "ab":  # once more with what the cache holds then
        for slug in ("red", "blue"):
            answer = await call(client, f"/t/{slug}/v1/me", token=token)
            assert (answer.status_code, answer.json()["tenant"]["slug"]) == (200, slug)
        for path in ("/v1/me", "/t/green/v1/me", "/authz", "/authz?tenant=red"):
            assert (await call(client, path, token=token)).status_code == 401, path
    report = (await client.admin("POST", "/tokens/explain", json={"token": token})).json()
    assert report["reason"] == "several_organizations"
    assert sorted(report["steps"][-1]["found"]) == ["blue", "red"]


async def test_issuer_that_is_registered_both_ways_is_warned_about_in_the_answer(
    client: ApiClient, realm: DevRealm
) -> None:
    for slug, part in (
        ("blue", "another tenant has registered this issuer without an organization"),
        ("acme", "organizations are, or were"),
    ):
        checked = (await client.admin("POST", f"/tenants/{slug}/checks", json={})).json()
        (first, *_) = checked["conditions"]
        assert (first["type"], first["status"], first["reason"]) == ("IssuerValid", "True", "SharedIssuer")
        assert part in first["message"]
        assert checked["ready"]
