"""H of the catalogue: every door through which an admin's URL comes to a connection. No packet reaches the target.

The forbidden target really listens, on another address of this machine than the realms: a packet would be counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest

from tenants_api.app import create_app
from tenants_api.outbound.targets import Address
from tests.support.realms import dev_realms, services_for, settings_for
from tests.support.sockets import certificate
from tests.support.stack import ADMIN_KEY, CLIENT_ID, ApiClient, onboard

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("targets")]
INSIDE = "127.0.0.2"
BANNER = "SSH-2.0-answer-of-the-inside"


@dataclass
class Inside:
    """The inner network: a service on `port`, and what host names resolve to from now on."""

    client: ApiClient
    port: int
    names: dict[str, list[str]]

    def url(self, host: str = INSIDE) -> str:
        return f"http://{host}:{self.port}/realms/acme"


@asynccontextmanager
async def listening_inside() -> AsyncIterator[tuple[int, list[str]]]:
    """A service that must never be asked; gives its port and who came all the same."""
    seen: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(str(writer.get_extra_info("peername")))
        writer.write(f"{BANNER}\r\n".encode())
        writer.close()

    listener = await asyncio.start_server(answer, INSIDE, 0)
    try:
        yield listener.sockets[0].getsockname()[1], seen
    finally:
        listener.close()


@pytest.fixture
async def inside(tmp_path: Path) -> AsyncIterator[Inside]:
    """Tenant `acme`, whose realm has a name of its own, in an application that may reach 127.0.0.1 alone."""
    names = {"inside.test": [INSIDE], "both.test": ["127.0.0.1", INSIDE], "dual.test": ["127.0.0.1", "fd00::1"]}

    async def resolve(host: str, port: int) -> list[Address]:
        return [ip_address(one) for one in names.get(host, ["127.0.0.1"])]

    async with AsyncExitStack() as stack:
        server = stack.enter_context(dev_realms("acme"))
        port, seen = await stack.enter_async_context(listening_inside())
        settings = settings_for(
            server, tmp_path, admin_api_key=ADMIN_KEY, login_rate=1000, allowed_private_networks=("127.0.0.1/32",),
            allowed_realm_ports=(server.port, port), insecure_http_hosts=("127.0.0.1", INSIDE, "localhost", *names),
        )  # fmt: skip
        app = create_app(settings)
        app.state.services = await stack.enter_async_context(services_for(settings, resolver=resolve))
        client = await stack.enter_async_context(ApiClient(app, server=server))
        await onboard(client, "acme", realm_url=f"http://localhost:{server.port}/realms/acme", login_client_id="web")
        yield Inside(client, port, names)
        assert seen == [], "a packet reached the target"


def says_the_rule_only(answer: httpx.Response) -> None:
    """H13: a caller with tenants:write learns which rule refused, and nothing that the target could have said."""
    assert answer.status_code < 500
    assert "TargetBlocked" in answer.text or "reserved network" in answer.text, answer.text
    assert "127.0.0.0/8" in answer.text or "fc00::/7" in answer.text
    for told in (BANNER, "SSH", "refused the connection", "timed out", "certificate"):
        assert told not in answer.text


@pytest.mark.parametrize("host", [INSIDE, "inside.test", "both.test", "dual.test"])
async def test_no_door_of_the_admin_plane_leads_inside(inside: Inside, host: str) -> None:
    """H6, H9, H13: at onboarding, at the check before it, as a second realm, as a changed one; with a bundle too."""
    url, bundle = inside.url(host), certificate(host)[0].decode()
    realm_id = (await inside.client.admin("GET", "/tenants/acme/realms")).json()["data"][0]["id"]
    says_the_rule_only(await inside.client.admin("POST", "/issuer-checks", json={"issuer": url}))
    for number, more in enumerate(({}, {"ca_bundle": bundle})):
        realm = {"issuer": f"{url}-{number}", "client_id": CLIENT_ID, **more}
        second = realm | {"issuer": f"{url}-second-{number}"}
        body = {"slug": f"evil-{number}", "name": "Evil", "realms": [realm]}
        says_the_rule_only(await inside.client.admin("POST", "/tenants", json=body))
        says_the_rule_only(await inside.client.admin("POST", "/tenants/acme/realms", json=second))
        path, changed = f"/tenants/acme/realms/{realm_id}", {"realm_url": url, **more}
        says_the_rule_only(await inside.client.admin("PATCH", path, json=changed, headers={"If-Match": "*"}))


async def test_name_that_turns_inside_after_onboarding_is_refused_at_every_later_fetch(inside: Inside) -> None:
    """H10, H11: refresh by hand, the check of a tenant, a token with an unknown kid, a login."""
    client, realm = inside.client, inside.client.server.realm("acme")
    good = realm.mint()
    assert (await client.me(good)).status_code == 200
    realm_id = (await client.admin("GET", "/tenants/acme/realms")).json()["data"][0]["id"]
    for turned in ([INSIDE], ["127.0.0.1", INSIDE], ["::ffff:127.0.0.2"], ["64:ff9b::7f00:2"]):
        inside.names["localhost"] = turned
        refreshed = await client.admin("POST", f"/tenants/acme/realms/{realm_id}/keys/refresh")
        assert (refreshed.status_code, refreshed.json()["code"]) in ((503, "keys_unavailable"), (429, "rate_limited"))
        says_the_rule_only(await client.admin("POST", "/tenants/acme/checks"))
        login = await client.post("/t/acme/login", data={"username": "alice", "password": "alice-pw"})
        assert login.status_code in (502, 503)
        assert INSIDE not in login.text
    realm.rotate()
    assert (await client.me(realm.mint())).status_code == 401
    assert (await client.me(good)).status_code == 200, "known keys serve on"


BUNDLES = (
    "https://127.0.0.2/ca.pem", "file:///etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs/ca-certificates.crt",
    "/etc/passwd", "-----BEGIN CERTIFICATE-----\nhttps://127.0.0.2/ca.pem\n-----END CERTIFICATE-----", "\\\\127.0.0.2\\ca",
)  # fmt: skip


@pytest.mark.parametrize("bundle", BUNDLES)
async def test_bundle_is_text_and_neither_a_path_nor_a_url(inside: Inside, bundle: str) -> None:
    """H: what stands in `ca_bundle` is not opened and not fetched."""
    bundle = bundle.replace("127.0.0.2/", f"127.0.0.2:{inside.port}/")
    realm = {"issuer": inside.client.server.realm("acme").issuer, "client_id": CLIENT_ID, "ca_bundle": bundle}
    answer = await inside.client.admin("POST", "/tenants", json={"slug": "evil", "name": "Evil", "realms": [realm]})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/realms/0/ca_bundle")
    assert "root:" not in answer.text
