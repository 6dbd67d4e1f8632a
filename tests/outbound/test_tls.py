"""Which certificates the guarded client believes, and for whom. Real sockets."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from tenants_api.keycloak.realm import fetch_jwks
from tenants_api.outbound.errors import RealmFault
from tenants_api.outbound.tls import MAX_TRANSPORTS, Transports
from tests.support.fetching import KEYS, client_for
from tests.support.sockets import certificate, http, serving, tls_server


async def test_authorities_of_the_environment_are_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, bundle = tls_server(tmp_path, name="realm.test")
    (tmp_path / "ca.pem").write_text(bundle)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert ssl.create_default_context().cert_store_stats()["x509_ca"] == 1  # a client that follows it would trust it
    async with serving(http(KEYS), tls=context) as server, client_for(server) as client:
        with pytest.raises(RealmFault) as fault:
            await fetch_jwks(client, server.url.replace("http:", "https:"))
    assert fault.value.reason == "TlsUntrusted"


async def test_trust_stores_are_bounded_and_the_one_in_use_stays(tmp_path: Path) -> None:
    transports = Transports()
    first = await transports.get(None)
    for number in range(MAX_TRANSPORTS + 5):
        await transports.get(certificate(f"ca{number}.test")[0].decode())
        assert await transports.get(None) is first
    assert len(transports) == MAX_TRANSPORTS
    await transports.aclose()


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


@pytest.mark.parametrize(("name", "is_its_own"), [("xn--fa-hia.test", True), ("fass.test", False)])
async def test_certificate_of_an_international_name_is_for_that_very_name(
    tmp_path: Path, name: str, is_its_own: bool
) -> None:
    """By IDNA 2003 the name that `xn--fa-hia` stands for would be `fass`."""
    context, bundle = tls_server(tmp_path, name=name)
    async with serving(http(KEYS), tls=context) as server, client_for(server) as client:
        url = f"https://xn--fa-hia.test:{server.port}/realms/acme"
        if is_its_own:
            assert await fetch_jwks(client, url, ca_bundle=bundle) == KEYS
            return
        with pytest.raises(RealmFault) as fault:
            await fetch_jwks(client, url, ca_bundle=bundle)
    assert fault.value.reason == "TlsUntrusted"


async def test_bundle_that_is_no_pem_is_told_so() -> None:
    async with serving(http(KEYS)) as server, client_for(server) as client:
        with pytest.raises(RealmFault) as fault:
            await fetch_jwks(client, server.url, ca_bundle="nonsense")
    assert fault.value.reason == "TlsUntrusted"


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
