"""A query string is bounded before anybody reads it, wherever it comes in."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from tenants_api import CurrentPrincipal, Tenancy
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.errors import MAX_QUERY_BYTES, UriTooLong
from tenants_api.forward_auth.options import MAX_OPTIONS_BYTES, parse_options
from tenants_api.testing import memory_registry
from tenants_api.tokens.credentials import credential_of
from tests.support.own_app import own_app
from tests.support.stack import ADMIN_KEY, ApiClient, bearer


def filled(size: int) -> str:
    """A query of this size with as many parameters as fit."""
    return "&".join(["a=1"] * size)[:size].rstrip("&").ljust(size, "1")


@pytest.mark.parametrize(
    "path",
    ["/", "/public", "/livez", "/nowhere", "/v1/me", "/t/acme/v1/me", "/v1/items", "/admin/v1/tenants", "/admin/x"],
)
@pytest.mark.parametrize("known", [False, True], ids=["stranger", "known"])
async def test_query_over_the_bound_is_refused_by_every_route(client: ApiClient, path: str, known: bool) -> None:
    """D10: reading 30 KB took 76 ms, on an open route and before the token was looked at."""
    token = ADMIN_KEY if path.startswith("/admin") else client.server.realm("acme").mint()
    headers = bearer(token) if known else {}
    await client.get(path, headers=headers)
    answer = await client.get(f"{path}?{filled(MAX_QUERY_BYTES + 1)}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (414, "uri_too_long")
    assert answer.json()["detail"] == "the query string has 8193 bytes; at most 8192 are read"
    assert "X-Request-ID" in answer.headers
    at_most = await client.get(f"{path}?{filled(MAX_QUERY_BYTES)}", headers=headers)
    assert at_most.status_code != 414


async def test_query_over_the_bound_is_refused_by_the_admin_plane_in_another_application(
    realms: DevRealmServer,
) -> None:
    """D10: there our middleware is not; a route that asks who calls refuses it too, an open one is not ours."""
    with memory_registry(realms, admin_api_key=ADMIN_KEY) as settings:
        tenancy = Tenancy(settings)
        app = own_app(tenancy)

        @app.get("/mine")
        async def mine(principal: CurrentPrincipal) -> str:
            return principal.tenant.slug

        @app.get("/open")
        async def unguarded() -> str:
            return "open"

        tenancy.install(app)
        with TestClient(app) as client:
            query, token = filled(MAX_QUERY_BYTES + 1), realms.realm("acme").mint()
            for path, key in (("/admin/v1/tenants", ADMIN_KEY), ("/admin/openapi.json", ADMIN_KEY), ("/mine", token)):
                for headers in ({}, bearer(key)):
                    answer = client.get(f"{path}?{query}", headers=headers)
                    assert (answer.status_code, answer.json()["code"]) == (414, "uri_too_long")
            assert client.get(f"/open?{query}").json() == "open"
            for name in ("acme", "globex"):
                assert client.get("/mine", headers=bearer(realms.realm(name).mint())).json() == name


async def test_query_within_the_bound_is_answered_as_ever(client: ApiClient) -> None:
    for realm in ("acme", "globex"):
        answer = await client.get(f"/v1/me?{filled(8192)}", headers=bearer(client.server.realm(realm).mint()))
        assert answer.json()["tenant"]["slug"] == realm


async def test_problem_page_explains_it_and_the_contract_lists_it(client: ApiClient) -> None:
    page = await client.get("/problems/uri_too_long", headers={"Accept": "application/json"})
    assert page.status_code == 200
    assert "8192" in page.text
    for path, contract in (("/v1/me", "/openapi.json"), ("/v1/tenants", "/admin/openapi.json")):
        responses = (await client.get(contract)).json()["paths"][path]["get"]["responses"]
        assert "uri_too_long" in responses["414"]["description"]


async def test_credentials_are_not_read_beside_a_query_over_the_bound() -> None:
    """D10: also where our middleware is not: a WebSocket, an application of its own."""
    headers = [(b"authorization", b"Bearer a.b.c")]
    with pytest.raises(UriTooLong):
        credential_of(headers, query=b"a" * (MAX_QUERY_BYTES + 1))
    assert credential_of(headers, query=b"%" * MAX_QUERY_BYTES).token == b"a.b.c"


@pytest.mark.parametrize("options", [b"&", b"a=1&", b"%41=%42&", b"profile=envoy&"])
def test_options_over_the_bound_are_not_read(options: bytes) -> None:
    """D10: forward auth's own."""
    with pytest.raises(UriTooLong):
        parse_options((options * (MAX_OPTIONS_BYTES + 1))[: MAX_OPTIONS_BYTES + 1])


def test_what_envoy_appends_may_be_as_long_as_it_likes() -> None:
    """It is the client's, for the service behind, and is not looked at."""
    for size in (10, 30_000):
        assert parse_options(b"profile=envoy&tenant=acme&original=/a?" + b"b" * size).tenant == "acme"


async def test_forward_auth_refuses_them_and_passes_the_clients_own(client: ApiClient) -> None:
    for realm in ("acme", "globex"):
        headers = bearer(client.server.realm(realm).mint())
        refused = await client.get(f"/authz?{filled(MAX_OPTIONS_BYTES + 1)}", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (414, "uri_too_long")
        passed = await client.get(f"/authz?profile=envoy&original=/a?{filled(20_000)}", headers=headers)
        assert passed.headers["X-Tenant-Slug"] == realm
