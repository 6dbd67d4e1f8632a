"""What the guarded client does with servers that lie, hang or drip. Real sockets."""

from __future__ import annotations

import asyncio
import gzip
import os

import pytest

from tenants_api.keycloak.realm import fetch_jwks
from tenants_api.outbound.client import RealmClient, Slots
from tenants_api.outbound.errors import RealmFault
from tenants_api.outbound.targets import Address, target_policy
from tests.support.fetching import KEYS, client_for, fault_of, resolving
from tests.support.sockets import crumbs, drip, endless, http, serving
from tests.support.waiting import DEADLINE, until


async def test_good_answer_is_read_and_the_name_is_in_host() -> None:
    async with serving(http(KEYS)) as server, client_for(server) as client:
        assert await fetch_jwks(client, server.url) == KEYS
    assert f"host: realm.test:{server.port}".encode() in server.requests[0].lower()
    assert b"accept-encoding: identity" in server.requests[0].lower()
    assert server.requests[0].startswith(b"GET /realms/a/protocol/openid-connect/certs HTTP/1.1")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (http(b"", status="302 Found", more="Location: http://169.254.169.254/\r\n"), "Redirected"),
        (http(b"", status="307 Temporary Redirect", more="Location: /other\r\n"), "Redirected"),
        (http(b"<html>log in</html>", kind="text/html"), "NotJson"),
        (http(KEYS, kind="text/plain"), "NotJson"),
        (http(b"not json"), "NotJson"),
        (http(b"[]"), "NotJson"),
        (http(b"{}"), "NotJson"),
        (http(b'{"keys": 7}'), "NotJson"),
        (http(b'{"keys": [], "keys": []}'), "NotJson"),
        (http(b'{"keys": NaN}'), "NotJson"),
        (http(b"[" * 100_000), "NotJson"),
        (http(b"\xef\xbb\xbf" + KEYS), "NotJson"),
        (http(gzip.compress(KEYS), more="Content-Encoding: gzip\r\n"), "NotJson"),
        (http(KEYS, status="404 Not Found"), "HttpStatus"),
        (http(KEYS, status="500 Internal Server Error"), "HttpStatus"),
        (http(KEYS, status="204 No Content"), "HttpStatus"),
        (http(KEYS, status="206 Partial Content"), "HttpStatus"),
        (http(b" " * 300_000), "TooLarge"),
        (http(KEYS)[:-4], "Unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Type", "Unreachable"),
        (b"garbage\r\n\r\n", "Unreachable"),
        (b"", "Unreachable"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_wrong_answer_has_its_reason(answer: bytes, reason: str) -> None:
    async with serving(answer) as server:
        assert (await fault_of(server)).reason == reason


async def test_gzip_bomb_is_never_inflated() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    async with serving(http(bomb, more="Content-Encoding: gzip\r\n")) as server:
        fault = await fault_of(server)
    assert fault.reason == "NotJson"
    assert "switch compression off" in fault.message


async def test_drip_ends_at_the_whole_deadline() -> None:
    async with serving(drip) as server:
        async with asyncio.timeout(DEADLINE):
            assert (await fault_of(server, total=0.5)).reason == "TimedOut"


async def test_endless_body_is_cut() -> None:
    async with serving(endless) as server:
        assert (await fault_of(server)).reason == "TooLarge"


async def test_body_of_crumbs_is_cut() -> None:
    async with serving(crumbs) as server:
        fault = await fault_of(server)
    assert fault.reason == "TooLarge"
    assert "pieces" in fault.message


async def test_nobody_listens() -> None:
    async with serving(http(KEYS)) as server:
        pass
    assert (await fault_of(server)).reason == "Unreachable"


async def test_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(http(KEYS)) as server, serving(http(b"{}")) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with client_for(server) as client:
            assert await fetch_jwks(client, server.url) == KEYS
    assert proxy.connections == 0
    assert os.environ["HTTP_PROXY"].endswith(str(proxy.port))


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY"])
async def test_proxy_of_the_environment_is_named_where_a_realm_is_not_reached(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(variable, "http://proxy.test:3128")
    note = f"; {variable.upper()} in the environment is not used: realms are reached without a proxy"

    async def unknown(host: str, port: int) -> list[Address]:
        raise OSError("Name or service not known")

    async with serving(http(KEYS)) as server:
        unresolved = await fault_of(server, resolver=unknown)
        late = await fault_of(server, total=0.0)
    refused = await fault_of(server)  # it listens no more
    assert (unresolved.reason, late.reason, refused.reason) == ("Unreachable", "TimedOut", "Unreachable")
    assert all(fault.message.endswith(note) for fault in (unresolved, late, refused))


async def test_host_that_hangs_leaves_room_for_another() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with serving(hang) as hanging, serving(http(KEYS)) as good:
        policy = target_policy(
            insecure_http_hosts=("realm.test",),
            allowed_private_networks=("127.0.0.0/8",),
            allowed_ports=(hanging.port, good.port),
        )
        client = RealmClient(policy, resolver=resolving("127.0.0.1"), total_timeout=DEADLINE, per_host=2)
        waiting = [asyncio.create_task(fetch_jwks(client, hanging.url)) for _ in range(20)]
        try:
            await until(lambda: hanging.connections >= 2)
            assert await fetch_jwks(client, good.url) == KEYS
            assert hanging.connections == 2
            assert not any(task.done() for task in waiting)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            await client.aclose()


async def test_host_without_fetches_is_forgotten() -> None:
    slots = Slots(4, per_host=2, wait=1.0)
    async with slots.hold("a"), slots.hold("b"):
        assert len(slots) == 2
    assert len(slots) == 0


async def test_cookie_of_one_realm_is_not_sent_to_another_answer() -> None:
    async with serving(http(KEYS, more="Set-Cookie: a=b\r\n")) as server, client_for(server) as client:
        await fetch_jwks(client, server.url)
        await fetch_jwks(client, server.url)
    assert all(b"cookie" not in request.lower() for request in server.requests)


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/auth", "lacks /realms/<name>"),
        ("/realms/Acme", "/auth/realms/ if Keycloak is below /auth"),
        ("/auth/realms/Acme", "leave /auth out for Keycloak 17 or newer"),
    ],
)
async def test_realm_that_is_not_found_says_what_its_url_may_lack(path: str, hint: str) -> None:
    async with serving(http(b"{}", status="404 Not Found")) as server, client_for(server) as client:
        with pytest.raises(RealmFault) as fault:
            await fetch_jwks(client, f"http://realm.test:{server.port}{path}")
    assert fault.value.reason == "HttpStatus"
    assert hint in fault.value.message
