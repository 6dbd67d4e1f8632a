"""A real MCP client that knows only the server's URL finds the tenant's realm by itself, signs in and calls a tool."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from examples.mcp_server import create
from tests.attacks.arena import listening
from tests.support.ports import free_port
from tests.support.realms import dev_realms
from tests.support.stack import ApiClient, bearer, onboard, running_app

pytestmark = pytest.mark.servers
BACK = "http://127.0.0.1:9/callback"


@dataclass
class Memory:
    """What a client remembers: it was registered in the realm by hand, and has no token yet."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull = field(
        default_factory=lambda: OAuthClientInformationFull(
            client_id="web", redirect_uris=[AnyUrl(BACK)], token_endpoint_auth_method="none"
        )
    )

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        raise AssertionError("the client is registered already")


@dataclass
class Browser:
    """Somebody who fills in the realm's login page."""

    username: str
    seen: list[str] = field(default_factory=list)
    answer: httpx.URL | None = None

    async def open(self, url: str) -> None:
        self.seen.append(url)
        async with httpx.AsyncClient(timeout=60) as client:
            page = await client.get(url)
            action = unescape(page.text.partition('action="')[2].partition('"')[0])
            login = {"username": self.username, "password": f"{self.username}-pw"}
            sent = await client.post(httpx.URL(url).join(action), data=login)
            self.answer = httpx.URL(sent.headers["Location"])

    async def come_back(self) -> AuthorizationCodeResult:
        assert self.answer is not None
        query = {name: values[0] for name, values in parse_qs(self.answer.query.decode()).items()}
        return AuthorizationCodeResult(code=query["code"], state=query["state"], iss=query["iss"])


@dataclass(frozen=True)
class Served:
    url: str
    client: ApiClient


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    with dev_realms("acme", "globex") as realms:
        port = free_port()
        async with running_app(tmp_path, realms, factory=create, public_url=f"http://127.0.0.1:{port}") as client:
            for name in ("acme", "globex"):
                await onboard(client, name)
                shown = await client.admin(
                    "PATCH", f"/tenants/{name}", json={"resource_metadata": True}, headers={"If-Match": "*"}
                )
                assert shown.status_code == 200
            async with listening(client, port=port):
                yield Served(f"http://127.0.0.1:{port}", client)


async def call_whoami(url: str, *, browser: Browser, memory: Memory) -> str:
    about = OAuthClientMetadata(redirect_uris=[AnyUrl(BACK)], client_name="test")
    provider = OAuthClientProvider(
        url, about, memory, redirect_handler=browser.open, callback_handler=browser.come_back
    )
    async with httpx2.AsyncClient(auth=provider) as http, Client(streamable_http_client(url, http_client=http)) as mcp:
        answer = await mcp.call_tool("whoami", {})
    assert not answer.is_error, answer
    text: str = answer.content[0].text  # type: ignore[union-attr]
    return text


@pytest.mark.parametrize(("tenant", "user"), [("acme", "alice"), ("globex", "carol")])
async def test_client_that_knows_only_the_url_signs_in_at_the_tenants_realm(
    served: Served, tenant: str, user: str
) -> None:
    browser, memory = Browser(user), Memory()
    said = await call_whoami(f"{served.url}/t/{tenant}/mcp", browser=browser, memory=memory)
    assert said.startswith(f"{user} of {tenant.title()}: ")
    assert [urlsplit(url).path for url in browser.seen] == [f"/realms/{tenant}/protocol/openid-connect/auth"]
    assert memory.tokens is not None, "the client got its token by the code flow"


async def test_challenge_names_the_metadata(served: Served) -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        refused = await client.post(f"{served.url}/t/acme/mcp", json={})
        assert refused.status_code == 401
        url = refused.headers["WWW-Authenticate"].partition('resource_metadata="')[2].rstrip('"')
        document = (await client.get(url)).json()
    assert document["resource"] == f"{served.url}/t/acme"
    assert document["authorization_servers"] == [served.client.server.realm("acme").issuer]


async def test_token_of_another_tenant_is_refused(served: Served) -> None:
    of_globex = bearer(served.client.server.realm("globex").mint(username="alice"))
    async with httpx.AsyncClient(timeout=60) as client:
        refused = await client.post(f"{served.url}/t/acme/mcp", json={}, headers=of_globex)
    assert (refused.status_code, refused.json()["code"]) == (403, "tenant_mismatch")
