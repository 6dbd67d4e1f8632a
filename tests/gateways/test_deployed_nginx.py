"""deploy/nginx.conf in front of a service that says what reached it: whom it names as the client, and what it hides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tenants_api.control.login_tries import ADDRESS_RATE_FACTOR
from tests.gateways.conftest import served
from tests.gateways.proxies import HOW, binary
from tests.gateways.upstream import Upstream, named, serving_upstream
from tests.support.machine import require
from tests.support.realms import dev_realms
from tests.support.stack import onboard, running_app
from tests.topology.stage import balanced

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("gateways")]

HIDDEN = (
    "/authz",
    "/authz/",
    "/authz/orders",
    "/authz?x=/../y",
    "/%61uthz",
    "/./authz",
    "/x/../authz",
    "/authz/..",
    "/authz/../",
    "/authz/.",
    "/authz/../public",
    "/authz/x/../..",
    "/authz/%2e%2e",
    "/authz/.%2E/public",
    "/authz%2f..",
    "/authz/%2e%2e%2fpublic",
    "/metrics",
    "/./metrics",
    "/x/../metrics",
    "/metrics/../metrics",
)


@dataclass(frozen=True, slots=True)
class Front:
    host: str
    port: int
    upstream: Upstream

    async def status(self, path: str, *headers: str) -> int:
        """Of a request whose path no client has resolved."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        lines = [f"GET {path} HTTP/1.1", f"Host: {self.host}", *headers, "Connection: close", "", ""]
        writer.write("\r\n".join(lines).encode())
        answer = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        return int(answer.split(b" ", 2)[1])


@pytest.fixture(scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    require("nginx", available=binary("nginx") is not None, how=HOW["nginx"])
    with ExitStack() as stack:
        async with serving_upstream() as upstream:
            proxy = balanced(tmp_path_factory.mktemp("front"), [str(upstream.port)])
            url = httpx.URL(await asyncio.to_thread(stack.enter_context, proxy))
            assert url.port is not None
            yield Front(url.host, url.port, upstream)


@pytest.mark.parametrize("path", HIDDEN)
async def test_d12_forward_auth_and_metrics_are_hidden_however_their_path_is_written(front: Front, path: str) -> None:
    """D12: nginx looks for its locations with dot segments resolved, and hands on the path as it came."""
    reached = len(front.upstream.lines)
    assert await front.status(path) == 404
    assert front.upstream.lines[reached:] == []


@pytest.mark.parametrize(
    "path", ["/v1/me", "/t/acme/v1/me?next=/../x", "/", "/t/acme/.well-known/x", "/a..b", "/a/.../b"]
)
async def test_other_paths_go_on_as_they_came(front: Front, path: str) -> None:
    assert await front.status(path) == 200
    assert front.upstream.lines[-1][0] == f"GET {path} HTTP/1.1"


async def test_d12_client_is_the_peer_whatever_it_says(front: Front) -> None:
    """D12: replicas believe nginx what it says of the client."""
    forged = {
        "X-Forwarded-For": "198.51.100.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Port": "1",
        "X-Forwarded-Prefix": "/evil",
        "X-Real-IP": "198.51.100.7",
        "Forwarded": "for=198.51.100.7",
    }
    assert await front.status("/v1/me", *(f"{name}: {value}" for name, value in forged.items())) == 200
    lines = front.upstream.lines[-1]
    assert {name: named(lines, name) for name in forged} == {
        **{name: [] for name in forged},
        "X-Forwarded-For": ["127.0.0.1"],
        "X-Forwarded-Proto": ["http"],
    }


async def test_d12_stranger_locks_out_no_other_address(tmp_path: Path) -> None:
    """D12: all logins came from the proxy's address and shared its limit."""
    require("nginx", available=binary("nginx") is not None, how=HOW["nginx"])
    with ExitStack() as stack, dev_realms("acme", "globex") as realms:
        async with (
            running_app(tmp_path, realms, login_rate=1, trusted_proxies=("127.0.0.1/32",)) as api,
            served(api.app) as port,
        ):
            for slug in ("acme", "globex"):
                await onboard(api, slug, login_client_id="web")
            url = await asyncio.to_thread(stack.enter_context, balanced(tmp_path, [str(port)]))
            statuses = [
                await login(url, "127.0.0.2", "acme", f"user-{number}") for number in range(4 * ADDRESS_RATE_FACTOR)
            ]
            assert 429 in statuses  # whatever address it claims, and also when a minute ends between them
            for slug in ("acme", "globex"):
                assert await login(url, "127.0.0.3", slug, "user") == 401


async def login(url: str, address: str, slug: str, user: str) -> int:
    """The status of a login with a wrong password from this address, which claims to forward for another one."""
    transport = httpx.AsyncHTTPTransport(local_address=address)
    async with httpx.AsyncClient(transport=transport, base_url=url, timeout=60) as client:
        form = {"username": user, "password": "wrong"}
        forged = {"X-Forwarded-For": f"198.51.100.{user.removeprefix('user-')}"}
        return (await client.post(f"/t/{slug}/login", data=form, headers=forged)).status_code
