"""Realms that lie (F, G of the catalogue): real sockets, the whole API, and another tenant that must not notice."""

from __future__ import annotations

import asyncio
import gzip
import json
import sqlite3
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tenants_api.devkit.realms import DevRealmServer
from tests.support.realms import dev_realms
from tests.support.sockets import Answer, Server, crumbs, drip, endless, http, serving, tls_server
from tests.support.stack import CLIENT_ID, ApiClient, forget_keys, onboard, running_app

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("liars")]  # one application serves all lies
CERTS = b"/protocol/openid-connect/certs"


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the other side has had enough


def keys(*entries: dict[str, Any]) -> bytes:
    return http(json.dumps({"keys": entries}).encode())


def redirect(location: str) -> bytes:
    return http(b"", status="302 Found", more=f"Location: {location}\r\n")


EC = {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "k"}
POINT = {"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}
OTHER_POINT = {"x": "ZjhauCA8v9TbCEqwupteh9x08v0DnthZXVrK6XT8jhY", "y": "4kW3fBwSXxLh98Tt3eJ3CoIFlqfhvgv9DkArMf1xfas"}
LIES: dict[str, bytes | Answer] = {
    "100 MB by its length": http(b"")[:-4].replace(b"Length: 0", b"Length: 104857600") + b"\r\n\r\n" + b" " * 400_000,
    "endless chunks": endless,
    "crumbs": crumbs,
    "gzip bomb": http(gzip.compress(b"\0" * 20_000_000), more="Content-Encoding: gzip\r\n"),
    "slow drip": drip,
    "hangs": hang,
    "redirect to itself": redirect(CERTS.decode()),
    "redirect to the metadata address": redirect("http://169.254.169.254/latest/meta-data/"),
    "login page with 200": http(b"<html>log in</html>", kind="text/html"),
    "wrong content type": http(b'{"keys": []}', kind="text/plain"),
    "no key at all": keys(),
    "10,000 keys": http(json.dumps({"keys": [{"kid": str(n)} for n in range(10_000)]}).encode()),
    "257 keys": keys(*({**EC, **POINT, "kid": str(n)} for n in range(257))),
    "two keys with one kid": keys({**EC, **POINT}, {**EC, **OTHER_POINT}),
    "a private key": keys({**EC, **POINT, "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}),
    "half an answer": http(b'{"keys": []}')[:-4],
    "an error with keys in it": http(b'{"keys": []}', status="500 Internal Server Error"),
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "hangs up": b"",
}


@asynccontextmanager
async def relaying(port: int, *, tls: Any = None) -> AsyncIterator[Server]:
    """A realm's front that passes everything on, until its `answer` is replaced."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = front.requests[-1]
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
        behind, ahead = await asyncio.open_connection("127.0.0.1", port)
        ahead.write(head + await reader.readexactly(length))
        writer.write(await behind.read())
        ahead.close()

    async with serving(relay, tls=tls) as front:
        yield front


async def register_liar(
    client: ApiClient, front: Server, *, name: str = "globex", scheme: str = "http", **realm: Any
) -> dict[str, Any]:
    """A tenant whose realm is reached through the front."""
    body = {
        "slug": name,
        "name": name.title(),
        "realms": [
            {
                "issuer": client.server.realm(name).issuer,
                "realm_url": f"{scheme}://127.0.0.1:{front.port}/realms/{name}",
                "client_id": CLIENT_ID,
                **realm,
            }
        ],
    }
    answer = await client.admin("POST", "/tenants", json=body)
    assert answer.status_code == 201, answer.text
    tenant: dict[str, Any] = answer.json()
    return tenant


def settings(server: DevRealmServer, *fronts: Server) -> dict[str, Any]:
    ports = (server.port, *(front.port for front in fronts))
    hosts = tuple(f"127.0.0.1:{port}" for port in ports)
    return {"insecure_http_hosts": hosts, "allowed_realm_ports": ports, "realm_timeout": 1.0}


def copy_without_keys(source: str, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
    forget_keys(target.parent)


NAMES = {lie: f"liar-{number}" for number, lie in enumerate(LIES)}


@dataclass(frozen=True)
class Scene:
    """One honest tenant `acme` and a tenant for every lie, in one application."""

    client: ApiClient
    realm_ids: dict[str, str]

    def token(self, name: str) -> str:
        return self.client.server.realm(name).mint()

    @property
    def fetches(self) -> int:
        """Key fetches from the honest realm."""
        return self.client.server.realm("acme").requests["certs"]


@pytest.fixture(scope="module")
async def warm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """Every tenant's keys are stored and live; since then the realms lie."""
    folder = tmp_path_factory.mktemp("liars")
    async with AsyncExitStack() as stack:
        server = stack.enter_context(dev_realms("acme", *NAMES.values()))
        fronts = {lie: await stack.enter_async_context(relaying(server.port)) for lie in LIES}
        client = await stack.enter_async_context(running_app(folder, server, **settings(server, *fronts.values())))
        await onboard(client, "acme")
        ids = {}
        for lie, front in fronts.items():
            tenant = await register_liar(client, front, name=NAMES[lie])
            assert tenant["state"] == "active"
            ids[lie] = tenant["realms"][0]["id"]
        for lie, front in fronts.items():
            front.answer = LIES[lie]
        yield Scene(client, ids)


@pytest.fixture(scope="module")
async def cold(warm: Scene, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """A process that starts without any of the liars' keys."""
    folder = tmp_path_factory.mktemp("cold")
    state = warm.client.app.state.services.settings
    copy_without_keys(state.database_url.removeprefix("sqlite+aiosqlite:///"), folder / "tenants.db")
    same = {name: getattr(state, name) for name in ("insecure_http_hosts", "allowed_realm_ports", "realm_timeout")}
    async with running_app(folder, warm.client.server, **same) as client:
        assert (await client.me(warm.token("acme"))).status_code == 200
        yield Scene(client, warm.realm_ids)


async def others_are_served(scene: Scene, during: Coroutine[Any, Any, httpx.Response]) -> httpx.Response:
    """Start a call for the liar; five calls of the honest tenant are served without a fetch, then its answer."""
    fetched = scene.fetches
    liar = asyncio.create_task(during)
    for _ in range(5):
        assert (await scene.client.me(scene.token("acme"))).status_code == 200
    answer = await liar
    assert scene.fetches == fetched
    return answer


@pytest.mark.parametrize("lie", LIES)
async def test_lie_does_not_replace_good_keys(warm: Scene, lie: str) -> None:
    path = f"/tenants/{NAMES[lie]}/realms/{warm.realm_ids[lie]}/keys/refresh"
    answer = await others_are_served(warm, warm.client.admin("POST", path, json={}))
    assert (answer.status_code, answer.json()["code"]) == (503, "keys_unavailable")
    assert (await warm.client.me(warm.token(NAMES[lie]))).status_code == 200


@pytest.mark.parametrize("lie", LIES)
async def test_liar_without_stored_keys_harms_only_itself(cold: Scene, lie: str) -> None:
    answer = await others_are_served(cold, cold.client.me(cold.token(NAMES[lie])))
    assert (answer.status_code, answer.json()["code"]) == (503, "keys_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def test_answer_that_ends_with_its_connection_is_an_answer(tmp_path: Path) -> None:
    """HTTP/1.0 without a length: the relay closes, and the body was whole JSON."""
    with dev_realms("globex") as server:
        async with relaying(server.port) as front, running_app(tmp_path, server, **settings(server, front)) as client:
            relay = front.answer
            assert callable(relay)

            async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                front.requests[-1] = front.requests[-1].replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n")
                await relay(reader, writer)

            front.answer = old
            assert (await register_liar(client, front))["state"] == "active"
            assert (await client.me(server.realm("globex").mint())).status_code == 200


async def test_discovery_document_that_names_another_key_server_is_not_followed(tmp_path: Path) -> None:
    with dev_realms("globex") as server:
        async with (
            relaying(server.port) as front,
            serving(http(b'{"keys": []}')) as elsewhere,
            running_app(tmp_path, server, **settings(server, front)) as client,
        ):
            relay = front.answer
            assert callable(relay)

            async def with_another_jwks_uri(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                if b"openid-configuration" not in front.requests[-1]:
                    return await relay(reader, writer)
                document = {
                    "issuer": server.realm("globex").issuer,
                    "jwks_uri": f"http://127.0.0.1:{elsewhere.port}/keys",
                    "token_endpoint": f"http://127.0.0.1:{elsewhere.port}/token",
                }
                writer.write(http(json.dumps(document).encode()))
                return None

            front.answer = with_another_jwks_uri
            assert (await register_liar(client, front))["state"] == "active"
            assert (await client.me(server.realm("globex").mint())).status_code == 200
            assert elsewhere.connections == 0


async def test_realm_that_answers_for_another_issuer_stays_a_draft_with_the_cure(tmp_path: Path) -> None:
    with dev_realms("acme", "globex") as server, dev_realms("globex") as other:
        async with relaying(other.port) as front, running_app(tmp_path, server, **settings(server, front)) as client:
            tenant = await register_liar(client, front)
            assert tenant["state"] == "draft"
            failed = next(condition for condition in tenant["conditions"] if condition["status"] == "False")
            assert (failed["type"], failed["reason"]) == ("IssuerMatches", "IssuerMismatch")
            assert server.realm("globex").issuer in failed["message"]
            assert other.realm("globex").issuer in failed["message"]
            assert (await client.me(server.realm("globex").mint())).status_code == 401


@pytest.mark.parametrize(
    ("name", "days", "cured"),
    [("127.0.0.1", 1, True), ("other.test", 1, False), ("127.0.0.1", -1, False)],
    ids=["unknown authority", "another name", "expired"],
)
async def test_untrusted_certificate_is_named_and_a_bundle_cures_an_unknown_authority_only(
    tmp_path: Path, name: str, days: int, cured: bool
) -> None:
    context, bundle = tls_server(tmp_path, name=name, days=days)
    with dev_realms("globex") as server:
        async with (
            relaying(server.port, tls=context) as front,
            running_app(tmp_path, server, **settings(server, front)) as client,
        ):
            tenant = await register_liar(client, front, scheme="https")
            assert tenant["state"] == "draft"
            assert reasons(tenant)["RealmReachable"] == "TlsUntrusted"
            path = f"/tenants/globex/realms/{tenant['realms'][0]['id']}"
            changed = await client.admin("PATCH", path, json={"ca_bundle": bundle}, headers={"If-Match": "*"})
            assert changed.status_code == 200, changed.text
            checked = await client.admin("POST", "/tenants/globex/activate", json={})
            assert checked.status_code == (200 if cured else 422), checked.text
            assert (await client.me(server.realm("globex").mint())).status_code == (200 if cured else 401)


def reasons(tenant: dict[str, Any]) -> dict[str, str]:
    return {condition["type"]: condition["reason"] for condition in tenant["conditions"]}
