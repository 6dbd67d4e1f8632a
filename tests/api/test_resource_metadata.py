"""RFC 9728: a tenant that publishes its metadata says where its tokens come from; no other exists for strangers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tenants_api.devkit.realms import DevRealmServer
from tests.support.stack import CLIENT_ID, ApiClient, bearer, onboard, running_app

WELL_KNOWN = "/.well-known/oauth-protected-resource"


@pytest.fixture(scope="module")
async def api(realms: DevRealmServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiClient]:
    async with running_app(tmp_path_factory.mktemp("rfc9728"), realms, public_url="https://api.example/") as opened:
        for name in ("acme", "globex"):
            await onboard(opened, name)
        await publish(opened, "acme")
        yield opened


async def publish(client: ApiClient, slug: str, *, on: bool = True) -> None:
    answer = await client.admin("PATCH", f"/tenants/{slug}", json={"resource_metadata": on}, headers={"If-Match": "*"})
    assert (answer.status_code, answer.json()["resource_metadata"]) == (200, on)


async def test_document_names_the_resource_and_its_realms(api: ApiClient) -> None:
    answer = await api.get(f"{WELL_KNOWN}/t/acme")
    assert answer.status_code == 200
    assert answer.json() == {
        "resource": "https://api.example/t/acme",
        "authorization_servers": [api.server.realm("acme").issuer],
        "scopes_supported": ["openid"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Acme",
    }


async def test_tenant_that_does_not_publish_looks_like_one_that_does_not_exist(api: ApiClient) -> None:
    faces = []
    for slug in ("globex", "nobody", "ACME", "acme%2f"):
        answer = await api.get(f"{WELL_KNOWN}/t/{slug}")
        assert answer.status_code == 404
        faces.append({**answer.json(), "request_id": ""})
    assert all(face == faces[0] for face in faces)


@pytest.mark.parametrize("path", [WELL_KNOWN, f"{WELL_KNOWN}/", f"{WELL_KNOWN}/t", f"{WELL_KNOWN}/t/"])
async def test_there_is_no_list_of_tenants(api: ApiClient, path: str) -> None:
    assert (await api.get(path)).status_code == 404


async def test_challenge_of_a_published_tenant_says_where_the_document_is(api: ApiClient) -> None:
    """RFC 9728 section 5.1: on the tenant's own paths, for a missing and for a refused token."""
    named = 'resource_metadata="https://api.example/.well-known/oauth-protected-resource/t/acme"'
    for headers in ({}, bearer("a.b.c"), bearer(api.server.realm("globex").mint(claims={"aud": "other"}))):
        answer = await api.get("/t/acme/v1/me", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].endswith(f", {named}")
    for path in ("/v1/me", "/t/globex/v1/me", "/t/nobody/v1/me"):
        answer = await api.get(path)
        assert (answer.status_code, "resource_metadata" in answer.headers["WWW-Authenticate"]) == (401, False)


async def test_other_refusals_stay_as_they_are(api: ApiClient) -> None:
    answer = await api.get("/t/acme/v1/me", headers=bearer(api.server.realm("globex").mint()))
    assert answer.status_code == 403
    assert "resource_metadata" not in answer.headers["WWW-Authenticate"]


async def test_suspended_or_unpublished_tenant_is_gone_from_the_next_request_on(
    realms: DevRealmServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with running_app(tmp_path_factory.mktemp("off"), realms, public_url="https://api.example") as client:
        await onboard(client, "acme")
        await publish(client, "acme")
        assert (await client.get(f"{WELL_KNOWN}/t/acme")).status_code == 200
        await client.admin("POST", "/tenants/acme/suspend", json={})
        assert (await client.get(f"{WELL_KNOWN}/t/acme")).status_code == 404
        await client.admin("POST", "/tenants/acme/resume", json={})
        assert (await client.get(f"{WELL_KNOWN}/t/acme")).status_code == 200
        await publish(client, "acme", on=False)
        assert (await client.get(f"{WELL_KNOWN}/t/acme")).status_code == 404


async def test_organization_is_a_scope_that_the_client_asks_for(
    realms: DevRealmServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with running_app(tmp_path_factory.mktemp("orgs"), realms, public_url="https://api.example/base") as client:
        realm: dict[str, Any] = {"issuer": realms.realm("acme").issuer, "client_id": CLIENT_ID, "organization": "north"}
        body = {"slug": "north", "name": "North", "realms": [realm], "resource_metadata": True}
        assert (await client.admin("POST", "/tenants", json=body)).json()["resource_metadata"] is True
        document = (await client.get(f"{WELL_KNOWN}/t/north")).json()
        assert document["scopes_supported"] == ["openid", "organization:north"]
        assert document["resource"] == "https://api.example/base/t/north"
        challenge = (await client.get("/t/north/v1/me")).headers["WWW-Authenticate"]
        assert '"https://api.example/.well-known/oauth-protected-resource/base/t/north"' in challenge


async def test_without_a_public_url_nothing_is_published(
    realms: DevRealmServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The Host header, which anybody writes, is no name for this API."""
    async with running_app(tmp_path_factory.mktemp("no-url"), realms) as client:
        await onboard(client, "acme")
        await publish(client, "acme")
        answer = await client.get(f"{WELL_KNOWN}/t/acme", headers={"Host": "evil.example"})
        assert answer.status_code == 404
        assert "resource_metadata" not in (await client.get("/t/acme/v1/me")).headers["WWW-Authenticate"]
