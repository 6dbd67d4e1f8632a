"""The requests that proxies send which this machine does not start, line by line, against a real port."""

from __future__ import annotations

import asyncio

import pytest

from tenants_api.forward_auth.identity import IDENTITY_HEADERS
from tests.gateways.conftest import served
from tests.support.stack import ApiClient

# Traefik 3's ForwardAuth: always GET on the configured address, the original request in X-Forwarded-*.
TRAEFIK = """GET /authz?tenant=acme HTTP/1.1
Host: 127.0.0.1:8000
User-Agent: Go-http-client/1.1
{authorization}X-Forwarded-For: 203.0.113.7
X-Forwarded-Host: app.test
X-Forwarded-Method: DELETE
X-Forwarded-Port: 80
X-Forwarded-Proto: http
X-Forwarded-Server: door
X-Forwarded-Uri: /orders/7?tenant=globex
X-Forwarded-Prefix: /public
Accept-Encoding: gzip

"""
# Envoy's ext_authz: the client's method and path behind the prefix, an empty body whatever the client sends.
ENVOY = """DELETE /authz?profile=envoy&tenant=acme&original=/orders/7?tenant=globex&access_token=x HTTP/1.1
host: app.test
{authorization}content-length: 0
x-envoy-internal: true
x-forwarded-for: 203.0.113.7
x-envoy-expected-rq-timeout-ms: 200

"""
# Istio and APISIX: the sub-path, no query of ours.
SUBPATH = """POST /authz/orders/7 HTTP/1.1
host: app.test
{authorization}X-Forwarded-Method: GET
content-length: 0

"""


async def replayed(port: int, request: str, *, token: str | None) -> tuple[int, dict[str, str]]:
    authorization = f"Authorization: Bearer {token}\n" if token else ""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.format(authorization=authorization).replace("\n", "\r\n").encode())
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)).decode().strip().split("\r\n")
    writer.close()
    headers = (line.partition(": ") for line in head[1:])
    return int(head[0].split(" ")[1]), {name.lower(): value for name, _, value in headers}


@pytest.mark.parametrize("request_text", [TRAEFIK, ENVOY, SUBPATH], ids=["traefik", "envoy", "subpath"])
async def test_proxys_own_request_is_decided_by_the_token(api: ApiClient, request_text: str) -> None:
    acme, globex = (api.server.realm(name).mint() for name in ("acme", "globex"))
    async with served(api.app) as port:
        status, headers = await replayed(port, request_text, token=acme)
        refused, _ = await replayed(port, request_text, token=None)
        foreign, _ = await replayed(port, request_text, token=globex)
    assert status == 200
    assert all(headers[name.lower()] for name in IDENTITY_HEADERS)
    assert refused == 401
    assert foreign == (200 if request_text is SUBPATH else 403)
