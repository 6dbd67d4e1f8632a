"""The proxy's options, and a principal as headers: pure functions."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants_api.errors import InvalidRequest
from tenants_api.forward_auth.identity import IDENTITY_HEADERS, IdentityTooLarge, _encode, encoded, identity_headers
from tenants_api.forward_auth.options import Options, parse_options
from tenants_api.tokens.principal import Principal, TenantRef


def principal(**changes: Any) -> Principal:
    values: dict[str, Any] = {
        "tenant": TenantRef(uuid.UUID(int=7), "acme", "Acme"),
        "issuer": "https://kc.test/realms/acme",
        "organization": None,
        "subject": "s-1",
        "roles": frozenset(),
        "username": None,
        "email": None,
        "email_verified": None,
        "full_name": None,
        "authorized_party": None,
        "scope": None,
        "expires_at": 0,
        "service_account": False,
    }
    return Principal(**(values | changes))


def test_every_option_is_read() -> None:
    assert parse_options(b"tenant=acme&role=editor&profile=nginx") == Options("acme", "editor", "nginx")
    assert parse_options(b"") == Options()


@pytest.mark.parametrize(
    "query",
    ["tenants=acme", "tenant=acme&tenant=globex", "tenant=", "role", "profile=apache", "Role=admin", "a=1;role=admin"],
)
def test_option_that_is_unknown_empty_or_given_twice_is_refused(query: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_options(query.encode())


def test_what_a_client_appends_behind_original_is_no_option() -> None:
    hostile = b"profile=envoy&tenant=acme&original=/orders?tenant=globex&role=viewer&original=/x"
    assert parse_options(hostile) == Options(tenant="acme", profile="envoy")


@pytest.mark.parametrize("query", [b"tenant=acme&original=/x", b"profile=nginx&original=/x", b"original=/x"])
def test_original_is_envoys_alone(query: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_options(query)


def test_every_header_is_there_and_none_is_empty() -> None:
    headers = dict(identity_headers(principal(subject="s", username="", email=None)))
    assert set(headers) == {name.lower().encode() for name in IDENTITY_HEADERS}
    assert all(headers.values())
    assert headers[b"x-auth-request-email"] == headers[b"x-tenant-roles"] == b"-"


def test_roles_are_sorted_and_a_comma_within_one_cannot_make_two() -> None:
    headers = dict(identity_headers(principal(roles=frozenset({"viewer", "admin,root", "editor"}))))
    assert headers[b"x-tenant-roles"] == b"admin%2Croot,editor,viewer"


@given(st.text(alphabet=st.characters(codec=None), min_size=1))
def test_any_text_becomes_visible_ascii_and_can_be_read_back(text: str) -> None:
    value = encoded(text)
    assert all(0x21 <= byte <= 0x7E for byte in value)
    assert unquote(value.decode(), errors="surrogatepass") == text
    assert value != b"-"


def test_long_texts_are_written_out_and_not_kept() -> None:
    """D8: a hostile realm's names would otherwise fill the memory."""
    _encode.cache_clear()
    for number in range(100):
        assert encoded(f"{number:->256}") == f"{number:->256}".encode()
    assert _encode.cache_info().currsize == 0
    assert encoded("x" * 255) == b"x" * 255
    assert _encode.cache_info().currsize == 1


@pytest.mark.parametrize("claim", ["username", "email"])
def test_text_that_cannot_fit_is_refused_before_it_is_written_out(claim: str) -> None:
    with pytest.raises(IdentityTooLarge):
        identity_headers(principal(**{claim: "\U0001f600" * 50_000}))


def test_identity_of_four_kilobytes_is_refused_and_never_cut() -> None:
    room = 4095 - sum(len(name) + len(value) + 4 for name, value in identity_headers(principal())) + 1
    fits = identity_headers(principal(username="a" * room))
    assert sum(len(name) + len(value) + 4 for name, value in fits) == 4095
    with pytest.raises(IdentityTooLarge):
        identity_headers(principal(username="a" * (room + 1)))
