"""What the guarded client does with servers that lie, hang or are not where they should be. Real sockets."""

from __future__ import annotations

import asyncio
import gzip
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from tenants_api.keycloak.discovery import fetch_discovery
from tenants_api.keycloak.errors import LoginRefused, RealmFault
from tenants_api.keycloak.fetch import RealmClient
from tenants_api.keycloak.jwks import fetch_jwks
from tenants_api.keycloak.slots import Slots
from tenants_api.keycloak.status import fetch_enabled, fetch_not_before
from tenants_api.keycloak.targets import Address, Resolver, target_policy
from tenants_api.keycloak.tls import MAX_TRANSPORTS, Transports
from tenants_api.keycloak.tokens import password_grant
from tests.support.sockets import Server, certificate, drip, endless, http, serving, tls_server

pytestmark = pytest.mark.anyio


def resolving(*addresses: str) -> Resolver:
    async def resolve(host: str, port: int) -> list[Address]:
        return [ip_address(address) for address in addresses]

    return resolve


@asynccontextmanager
async def client_for(
    server: Server, *, resolver: Resolver | None = None, networks: tuple[str, ...] = ("127.0.0.0/8",), **limits: float
) -> AsyncIterator[RealmClient]:
    policy = target_policy(
        insecure_http_hosts=("realm.test",), allowed_private_networks=networks, allowed_ports=(server.port,)
    )
    client = RealmClient(policy, resolver=resolver or resolving("127.0.0.1"), total_timeout=limits.get("total", 5.0))
    try:
        yield client
    finally:
        await client.aclose()


async def fault_of(server: Server, **how: object) -> RealmFault:
    async with client_for(server, **how) as client:
        with pytest.raises(RealmFault) as fault:
            await fetch_jwks(client, server.url)
    return fault.value


KEYS = b'{"keys": []}'


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
        started = asyncio.get_running_loop().time()
        assert (await fault_of(server, total=0.5)).reason == "TimedOut"
        assert asyncio.get_running_loop().time() - started < 2


async def test_endless_body_is_cut() -> None:
    async with serving(endless) as server:
        assert (await fault_of(server)).reason == "TooLarge"


async def test_nobody_listens() -> None:
    async with serving(http(KEYS)) as server:
        pass
    assert (await fault_of(server)).reason == "Unreachable"


@pytest.mark.parametrize(
    "addresses",
    [("10.0.0.1",), ("169.254.169.254",), ("::1",), ("::ffff:10.0.0.1",), ("64:ff9b::a9fe:a9fe",),
     ("2002:a9fe:a9fe::",), ("100.64.0.1",), ("224.0.0.1",), ("168.63.129.16",), ("fec0::1",), ("::10.0.0.1",),
     ("::ffff:0:10.0.0.1",), ("64:ff9b:1::1",), ("2001:0:a00:1::",), ("fd00:ec2::254",), ("ff02::1",), ("3fff::1",),
     ("5f00::1",), ("100.100.100.200",), ("0.0.0.0",), ("::",), ("255.255.255.255",), ("198.18.0.1",)],
    ids=str,
)  # fmt: skip
async def test_blocked_address_gets_no_packet(addresses: tuple[str, ...]) -> None:
    async with serving(http(KEYS)) as server:
        fault = await fault_of(server, resolver=resolving(*addresses))
    assert fault.reason == "TargetBlocked"
    assert server.connections == 0


@pytest.mark.parametrize("bad", ["10.0.0.1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "fe80::1"])
@pytest.mark.parametrize("last", [True, False], ids=["bad one last", "bad one first"])
async def test_one_bad_address_among_good_ones_refuses_the_name(bad: str, last: bool) -> None:
    """Dual-stack answers too: which of the families is connected to is the client's choice, so each must be good."""
    addresses = ("127.0.0.1", bad) if last else (bad, "127.0.0.1")
    async with serving(http(KEYS)) as server:
        assert (await fault_of(server, resolver=resolving(*addresses))).reason == "TargetBlocked"
    assert server.connections == 0


async def test_loopback_is_blocked_unless_its_network_is_allowed() -> None:
    async with serving(http(KEYS)) as server:
        fault = await fault_of(server, networks=())
    assert fault.reason == "TargetBlocked"
    assert server.connections == 0
    assert "TENANTS_ALLOWED_PRIVATE_NETWORKS" in fault.message


async def test_name_that_rebinds_is_checked_at_every_fetch() -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def rebinding(host: str, port: int) -> list[Address]:
        return [ip_address(one) for one in answers.pop(0)]

    async with serving(http(KEYS)) as server, client_for(server, resolver=rebinding) as client:
        assert await fetch_jwks(client, server.url) == KEYS
        with pytest.raises(RealmFault, match="TargetBlocked"):
            await fetch_jwks(client, server.url)
    assert server.connections == 1


async def test_second_address_serves_when_the_first_refuses() -> None:
    both = resolving("127.0.0.77", "127.0.0.1")
    async with serving(http(KEYS)) as server, client_for(server, resolver=both) as client:
        assert await fetch_jwks(client, server.url) == KEYS


async def test_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(http(KEYS)) as server, serving(http(b"{}")) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with client_for(server) as client:
            assert await fetch_jwks(client, server.url) == KEYS
    assert proxy.connections == 0
    assert os.environ["HTTP_PROXY"].endswith(str(proxy.port))


async def test_authorities_of_the_environment_are_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, bundle = tls_server(tmp_path, name="realm.test")
    (tmp_path / "ca.pem").write_text(bundle)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert ssl.create_default_context().cert_store_stats()["x509_ca"] == 1  # a client that follows it would trust it
    async with serving(http(KEYS), tls=context) as server, client_for(server) as client:
        with pytest.raises(RealmFault) as fault:
            await fetch_jwks(client, server.url.replace("http:", "https:"))
    assert fault.value.reason == "TlsUntrusted"


async def test_host_that_hangs_leaves_room_for_another() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with serving(hang) as hanging, serving(http(KEYS)) as good:
        policy = target_policy(
            insecure_http_hosts=("realm.test",),
            allowed_private_networks=("127.0.0.0/8",),
            allowed_ports=(hanging.port, good.port),
        )
        client = RealmClient(policy, resolver=resolving("127.0.0.1"), total_timeout=2.0, per_host=2)
        waiting = [asyncio.create_task(fetch_jwks(client, hanging.url)) for _ in range(20)]
        try:
            while hanging.connections < 2:
                await asyncio.sleep(0.01)
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
    async with slots.taken("a"), slots.taken("b"):
        assert len(slots) == 2
    assert len(slots) == 0


async def test_trust_stores_are_bounded_and_the_one_in_use_stays(tmp_path: Path) -> None:
    transports = Transports()
    first = await transports.get(None)
    for number in range(MAX_TRANSPORTS + 5):
        await transports.get(certificate(f"ca{number}.test")[0].decode())
        assert await transports.get(None) is first
    assert len(transports) == MAX_TRANSPORTS
    await transports.aclose()


async def test_cookie_of_one_realm_is_not_sent_to_another_answer() -> None:
    async with serving(http(KEYS, more="Set-Cookie: a=b\r\n")) as server, client_for(server) as client:
        await fetch_jwks(client, server.url)
        await fetch_jwks(client, server.url)
    assert all(b"cookie" not in request.lower() for request in server.requests)


async def test_unknown_authority_is_refused_and_its_bundle_cures_it(tmp_path: Path) -> None:
    context, bundle = tls_server(tmp_path, name="realm.test")
    async with serving(http(KEYS), tls=context) as server, client_for(server) as client:
        url = server.url.replace("http:", "https:")
        with pytest.raises(RealmFault) as fault:
            await fetch_jwks(client, url)
        assert fault.value.reason == "TlsUntrusted"
        assert "ca_bundle" in fault.value.message
        assert await fetch_jwks(client, url, ca_bundle=bundle) == KEYS


@pytest.mark.parametrize(("name", "days"), [("other.test", 1), ("realm.test", -1)], ids=["wrong name", "expired"])
async def test_certificate_for_another_name_or_out_of_date_is_refused(tmp_path: Path, name: str, days: int) -> None:
    context, bundle = tls_server(tmp_path, name=name, days=days)
    async with serving(http(KEYS), tls=context) as server, client_for(server) as client:
        with pytest.raises(RealmFault) as fault:
            await fetch_jwks(client, server.url.replace("http:", "https:"), ca_bundle=bundle)
    assert fault.value.reason == "TlsUntrusted"


async def test_bundle_that_is_no_pem_is_told_so() -> None:
    async with serving(http(KEYS)) as server, client_for(server) as client:
        with pytest.raises(RealmFault) as fault:
            await fetch_jwks(client, server.url, ca_bundle="nonsense")
    assert fault.value.reason == "TlsUntrusted"


async def test_discovery_without_an_issuer_is_not_one() -> None:
    async with serving(http(b'{"jwks_uri": "x"}')) as server, client_for(server) as client:
        with pytest.raises(RealmFault) as fault:
            await fetch_discovery(client, server.url)
    assert fault.value.reason == "NotJson"


@pytest.mark.parametrize(
    ("answer", "enabled"),
    [
        (http(b'{"error": "invalid_request"}', status="400 Bad Request"), True),
        (http(b'{"error": "access_denied"}', status="403 Forbidden"), False),
    ],
)
async def test_empty_token_request_tells_whether_the_realm_is_enabled(answer: bytes, enabled: bool) -> None:
    async with serving(answer) as server, client_for(server) as client:
        assert await fetch_enabled(client, server.url) is enabled


@pytest.mark.parametrize("value", [b'"1"', b"-1", b"true", b"1e3", b"99999999999999999999"])
async def test_not_before_that_is_no_time_is_refused(value: bytes) -> None:
    async with serving(http(b'{"tokens-not-before": ' + value + b"}")) as server, client_for(server) as client:
        with pytest.raises(RealmFault):
            await fetch_not_before(client, server.url)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        ("400 Bad Request", b'{"error": "invalid_grant", "error_description": "Invalid user credentials"}',
         "invalid_credentials"),
        ("401 Unauthorized", b'{"error": "invalid_grant", "error_description": "Invalid user credentials"}',
         "invalid_credentials"),
        ("400 Bad Request", b'{"error": "invalid_grant", "error_description": "Account disabled"}',
         "account_not_ready"),
        ("401 Unauthorized", b'{"error": "invalid_client"}', "client_refused"),
    ],
)  # fmt: skip
async def test_refused_login_is_told_apart_for_the_operator(status: str, body: bytes, kind: str) -> None:
    async with serving(http(body, status=status)) as server, client_for(server) as client:
        with pytest.raises(LoginRefused) as refused:
            await password_grant(client, server.url, client_id="web", username="u", password="secret-word")
    assert refused.value.kind == kind
    assert "secret-word" not in str(refused.value)


async def test_tokens_stay_out_of_the_repr() -> None:
    body = b'{"access_token": "SECRET", "refresh_token": "SECRET", "expires_in": 300, "token_type": "Bearer"}'
    async with serving(http(body)) as server, client_for(server) as client:
        tokens = await password_grant(client, server.url, client_id="web", username="u", password="p")
    assert tokens.access_token == "SECRET"
    assert "SECRET" not in repr(tokens)


async def test_connection_of_one_realm_is_never_used_for_another_behind_the_same_address(tmp_path: Path) -> None:
    """The pool knows connections by address: a kept one would carry another host past the check of its certificate."""

    async def keep_open(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n" + KEYS
        writer.write(answer)
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(answer)

    context, bundle = tls_server(tmp_path, name="evil.test")
    async with serving(keep_open, tls=context) as server, client_for(server) as client:
        evil, victim = (f"https://{host}:{server.port}/realms/a" for host in ("evil.test", "victim.test"))
        assert await fetch_jwks(client, evil, ca_bundle=bundle) == KEYS
        with pytest.raises(RealmFault) as fault:
            await fetch_jwks(client, victim, ca_bundle=bundle)
    assert fault.value.reason == "TlsUntrusted"
