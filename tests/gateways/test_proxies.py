"""Each proxy really started with its rendered configuration, in front of a service that says what reached it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tenants_api.devkit.realms import DevRealmServer
from tenants_api.forward_auth.configurations import CLEARED_HEADERS, SEPARATORS, aliases
from tenants_api.forward_auth.endpoint import refusal
from tenants_api.forward_auth.identity import IDENTITY_HEADERS
from tenants_api.forward_auth.options import parse_options
from tenants_api.tokens.errors import KeysUnavailable
from tests.gateways.conftest import Door, open_door
from tests.gateways.proxies import HOW, PROXIES, binary, running_proxy
from tests.gateways.upstream import serving_upstream
from tests.support.machine import require
from tests.support.ports import free_port
from tests.support.stack import ApiClient, onboard, running_app

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("gateways")]


def arrived(answer: httpx.Response) -> dict[str, list[str]]:
    """What the service behind got, by header name in lower case with every separator as a hyphen."""
    assert answer.status_code == 200, answer.text
    found: dict[str, list[str]] = {}
    for line in answer.json()["headers"]:
        name, _, value = line.partition(":")
        found.setdefault(re.sub(r"[^a-z0-9]", "-", name.lower()), []).append(value.strip())
    return found


async def test_identity_reaches_the_service(door: Door) -> None:
    got = arrived(await door.client.get("/orders/7?a=b", headers=door.bearer()))
    me = (await door.api.me(door.token())).json()
    assert got["x-tenant-id"] == [me["tenant"]["id"]]
    assert got["x-tenant-slug"] == ["acme"]
    assert got["x-tenant-roles"] == ["editor"]
    assert got["x-auth-request-user"] == [me["subject"]]
    assert got["x-auth-request-preferred-username"] == ["alice"]
    assert got["x-auth-request-email"] == [me["email"]]
    assert door.upstream.lines[-1][0] == "GET /orders/7?a=b HTTP/1.1"


@pytest.mark.parametrize("spelling", ["hyphens", "underscores", "dots", "repeated", "upper case"])
async def test_forged_identity_never_reaches_the_service(door: Door, spelling: str) -> None:
    forged = [("Authorization", door.bearer()["Authorization"])]
    for name in CLEARED_HEADERS:
        spelt = {"underscores": name.replace("-", "_"), "dots": name.replace("-", "."), "upper case": name.upper()}
        forged += [(spelt.get(spelling, name), "forged")] * (2 if spelling == "repeated" else 1)
    answer = await door.client.get("/", headers=forged)
    if door.proxy == "envoy" and spelling == "underscores":
        assert answer.status_code == 400  # the connection manager refuses the request as a whole
        return
    got = arrived(answer)
    assert [name for name, values in got.items() if "forged" in values] == []
    assert all(len(got[name.lower()]) == 1 for name in IDENTITY_HEADERS)


async def test_no_mixed_spelling_slips_through(door: Door) -> None:
    for name in IDENTITY_HEADERS:
        spellings = aliases(name) + [name.replace("-", sign) for sign in SEPARATORS]
        forged = [(spelt, "forged") for spelt in spellings if door.proxy != "envoy" or "_" not in spelt]
        for start in range(0, len(forged), 40):
            got = arrived(await door.client.get("/", headers=[*door.bearer().items(), *forged[start : start + 40]]))
            assert [found for found, values in got.items() if "forged" in values] == []


async def test_user_without_email_cannot_bring_one(door: Door) -> None:
    got = arrived(await door.client.get("/", headers=door.bearer(email=None) | {"X-Auth-Request-Email": "boss@acme"}))
    assert got["x-auth-request-email"] == ["-"]


async def test_names_of_any_script_arrive_percent_encoded(door: Door) -> None:
    got = arrived(await door.client.get("/", headers=door.bearer(preferred_username="Zoë {a} $b, c")))
    assert got["x-auth-request-preferred-username"] == ["Zo%C3%AB%20%7Ba%7D%20$b%2C%20c"]


async def test_request_without_a_good_token_stays_outside(door: Door) -> None:
    before = len(door.upstream.lines)
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer x.y.z"}):
        for path in ("/", "/livez", "/public", "/authz", "/.authz", "/%2eauthz", "//x/../y"):
            answer = await door.client.get(path, headers=headers)
            assert answer.status_code in (401, 404), (path, answer.status_code)
    bare = await door.client.get("/")
    assert bare.status_code == 401
    assert bare.headers["www-authenticate"] == 'Bearer realm="tenants-api"'
    assert len(door.upstream.lines) == before


async def test_other_tenants_token_and_missing_role_stay_outside(door: Door) -> None:
    before = len(door.upstream.lines)
    globex = await door.client.get("/", headers=door.bearer(realm="globex"))
    nobody = await door.client.get("/", headers=door.bearer(resource_access={}))
    assert (globex.status_code, nobody.status_code) == (403, 403)
    for answer in (globex, nobody):
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert len(door.upstream.lines) == before


async def test_clients_query_is_no_option(door: Door) -> None:
    query = "?tenant=globex&role=admin&profile=nginx&original=/x"
    assert (await door.client.get(f"/orders{query}", headers=door.bearer())).status_code == 200
    assert door.upstream.lines[-1][0] == f"GET /orders{query} HTTP/1.1"
    assert (await door.client.get(f"/orders{query}", headers=door.bearer(realm="globex"))).status_code == 403


async def test_forged_forwarding_headers_decide_nothing(door: Door) -> None:
    forged = {
        "X-Forwarded-Uri": "/public",
        "X-Original-URI": "/livez",
        "X-Original-URL": "/livez",
        "X-Rewrite-URL": "/livez",
        "X-Forwarded-Method": "OPTIONS",
        "X-Forwarded-Prefix": "/public",
        "X-Forwarded-Host": "internal",
        "X-HTTP-Method-Override": "OPTIONS",
    }
    assert (await door.client.get("/orders", headers=forged)).status_code == 401
    assert (await door.client.get("/orders", headers=forged | door.bearer(realm="globex"))).status_code == 403


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"])
async def test_every_method_is_checked_and_handed_on(door: Door, method: str) -> None:
    preflight = {"Origin": "https://evil.test", "Access-Control-Request-Method": "POST"}
    assert (await door.client.request(method, "/a", headers=preflight)).status_code == 401
    assert (await door.client.request(method, "/a", headers=door.bearer())).status_code == 200
    assert door.upstream.lines[-1][0] == f"{method} /a HTTP/1.1"


async def test_two_authorization_headers_stay_outside(door: Door) -> None:
    before = len(door.upstream.lines)
    good, other = door.bearer()["Authorization"], door.bearer(realm="globex")["Authorization"]
    for pair in ((good, other), (other, good), (good, "Bearer x.y.z")):
        answer = await door.client.get("/", headers=[("Authorization", value) for value in pair])
        assert answer.status_code in (400, 401, 403)
    assert len(door.upstream.lines) == before


async def test_token_of_eight_kilobytes_passes_and_a_longer_one_does_not(door: Door) -> None:
    fill = 8192 - len("Bearer ") - len(door.token(filler=""))
    big = door.bearer(filler="x" * (fill * 3 // 4 - 8))
    assert 8150 < len(big["Authorization"]) <= 8192
    assert (await door.client.get("/", headers=big)).status_code == 200
    too_big = door.bearer(filler="x" * fill)
    assert (await door.client.get("/", headers=too_big)).status_code == 400


async def test_token_of_the_setting_passes_and_a_longer_one_does_not(
    proxy: str, realms: DevRealmServer, tmp_path: Path
) -> None:
    """A8: the buffers of the rendered configuration follow `TENANTS_MAX_TOKEN_BYTES`."""
    async with running_app(tmp_path, realms, max_token_bytes=65_536) as large:
        for name in ("acme", "globex"):
            await onboard(large, name)
        async with open_door(proxy, api=large, folder=tmp_path, tenant="acme", max_token_bytes=65_536) as door:
            for size in (8200, 20_000, 65_536):
                fill = size - len("Bearer ") - len(door.token(filler=""))
                for realm, status in (("acme", 200), ("globex", 403)):
                    big = door.bearer(realm=realm, filler="x" * (fill * 3 // 4 - 8))
                    assert size - 64 < len(big["Authorization"]) <= size
                    assert (await door.client.get("/", headers=big)).status_code == status
            too_big = door.bearer(filler="x" * 60_000)
            assert (await door.client.get("/", headers=too_big)).status_code in (400, 431)


async def test_large_upload_goes_to_the_service_and_not_to_the_authorizer(door: Door) -> None:
    size, before = 16 * 1024 * 1024, door.recorder.bodies
    answer = await door.client.post("/upload", headers=door.bearer(), content=bytes(size))
    assert answer.json()["body"] == size
    assert door.recorder.bodies == before


async def test_websocket_passes_with_a_token_only(door: Door) -> None:
    refused = await _upgrade(door, token="")
    accepted = await _upgrade(door, token=door.bearer()["Authorization"])
    assert refused.startswith(b"HTTP/1.1 401 ")
    assert accepted.startswith(b"HTTP/1.1 101 ")
    assert accepted.endswith(b"\x81\x02hi")
    assert any(line.lower() == "x-tenant-slug: acme" for line in door.upstream.lines[-1])


async def _upgrade(door: Door, *, token: str) -> bytes:
    host = door.url.removeprefix("http://")
    reader, writer = await asyncio.open_connection(*host.split(":"))
    head = [
        "GET /socket HTTP/1.1",
        f"Host: {host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "X-Tenant-Slug: forged",
    ]
    writer.write("\r\n".join([*head, *([f"Authorization: {token}"] if token else []), "", ""]).encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    if b" 101 " in answer:
        writer.write(b"\x81\x02hi")
        answer += await asyncio.wait_for(reader.readexactly(4), 60)
    writer.close()
    return answer


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request: pytest.FixtureRequest) -> str:
    require(request.param, available=binary(request.param) is not None, how=HOW[request.param])
    return str(request.param)


class Broken:
    """An authorizer that breaks in a way of the test's choice."""

    def __init__(self) -> None:
        self.status = 500

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"x-tenant-slug", b"acme"), (b"location", b"http://127.0.0.1/")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


async def test_nothing_passes_when_the_authorizer_fails_or_is_gone(proxy: str, api: ApiClient, tmp_path: Path) -> None:
    broken = Broken()
    async with open_door(proxy, api=api, folder=tmp_path) as door:
        headers = door.bearer()
        assert (await door.client.get("/", headers=headers)).status_code == 200
        reached = len(door.upstream.lines)
        door.recorder.app = broken
        for broken.status in (302, 400, 404, 429, 500, 503):
            answer = await door.client.get("/", headers=headers)
            assert answer.status_code >= 300, broken.status
        assert len(door.upstream.lines) == reached
    gone = f"127.0.0.1:{free_port()}"
    async with (
        serving_upstream() as upstream,
        running_proxy(proxy, folder=tmp_path, authorizer=gone, upstream=upstream.port) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
    ):
        assert (await client.get("/", headers=headers)).status_code in (500, 502, 503)  # 500 is Traefik's
        assert upstream.lines == []


async def test_realm_without_keys_is_a_503_also_behind_nginx(door: Door) -> None:
    async def unavailable(scope: Any, receive: Any, send: Any) -> None:
        options = parse_options(scope["query_string"])
        status, headers, body = refusal(KeysUnavailable(), options=options, request_id="r")
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    real, door.recorder.app = door.recorder.app, unavailable
    try:
        answer = await door.client.get("/", headers=door.bearer())
    finally:
        door.recorder.app = real
    assert answer.status_code == 503
    assert door.proxy == "envoy" or answer.headers["retry-after"] == "1"
