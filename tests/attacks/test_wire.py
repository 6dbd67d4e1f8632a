"""Requests that no client library would send (A of the catalogue): raw bytes to the socket of a running server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.attacks.conftest import Target
from tests.support.stack import ADMIN_KEY

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("battery")]
REALM = 'Bearer realm="tenants-api"'
MISSING, MALFORMED, REFUSED = (401, "missing_token"), (400, "invalid_request"), (401, "invalid_token")


def shown(answer: tuple[int, dict[str, str], Any]) -> tuple[int, str]:
    status, _, problem = answer
    return status, problem["code"]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"Authorization:"],
        [b"Authorization: Basic YTpi"],
        [b"Authorization: Negotiate YII="],
        [b"Authorization: %b"],
        [b"Authorization: DPoP %b"],
        [b"Authorization: Bearer%b"],
        [b"Authorization: MAC id=a"],
        [b"Proxy-Authorization: Bearer %b"],
        [b"X-Authorization: Bearer %b"],
        [b"X-Forwarded-Access-Token: %b"],
        [b"Cookie: access_token=%b; token=%b"],
    ],
    ids=repr,
)
async def test_what_is_no_bearer_credential_is_a_missing_token(target: Target, lines: list[bytes]) -> None:
    """A1, A9, A10: and the challenge then names no error (RFC 6750 section 3.1)."""
    good = target.forge.good().encode()
    answer = await target.me(*(line.replace(b"%b", good) for line in lines))
    assert shown(answer) == MISSING
    assert answer[1]["www-authenticate"] == REALM


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER", b"bEaReR"])
async def test_scheme_is_read_in_any_letter_case(target: Target, scheme: bytes) -> None:
    """A2: RFC 9110 section 11.1."""
    good = target.forge.good().encode()
    for name in (b"Authorization", b"authorization", b"AUTHORIZATION"):
        status, _, body = await target.me(name + b": " + scheme + b" " + good)
        assert (status, body["tenant"]["slug"]) == (200, "acme")


async def test_two_authorization_headers_are_malformed_in_every_order(target: Target) -> None:
    """A3, Istio CVE-2026-26308: which of two counts must not be a matter of taste."""
    good, bad = target.forge.good().encode(), b"a.b.c"
    for one, other in ((good, bad), (bad, good), (good, good)):
        answer = await target.me(b"Authorization: Bearer " + one, b"Authorization: Bearer " + other)
        assert shown(answer) == MALFORMED
    for name in (b"authorization", b"AUTHORIZATION"):
        answer = await target.me(b"Authorization: Bearer " + good, name + b": Basic YTpi")
        assert shown(answer) == MALFORMED


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer %b, Bearer %b",
        b"Bearer %b %b",
        b"Bearer %b,%b",
        b"Bearer  %b",
        b"Bearer\t%b",
        b"Bearer \t%b",
        b"Bearer %b;a=b c",
        b"Bearer",
    ],
    ids=repr,
)
async def test_value_that_is_not_one_space_and_one_token_is_malformed(target: Target, value: bytes) -> None:
    """A4, A5, Keycloak CVE-2026-0707: no other white space, no second token."""
    good = target.forge.good().encode()
    assert shown(await target.me(b"Authorization: " + value.replace(b"%b", good))) == MALFORMED


async def test_white_space_round_the_value_is_http_s_own(target: Target) -> None:
    """A5: optional white space belongs to the header line (RFC 9110 section 5.5); what is left is judged."""
    good = target.forge.good().encode()
    statuses = {
        (await target.me(b"Authorization:" + before + b"Bearer " + good + after))[0]
        for before in (b"", b" ", b"\t", b"   ")
        for after in (b"", b" ", b"\t")
    }
    assert statuses <= {200, 400}
    assert (await target.me(b"Authorization:Bearer " + good))[0] == 200


@pytest.mark.parametrize(
    "token", [b"\xe9", b"\xa0%b", b"%b\xff", "\uff22".encode(), b"\x80.\x80.\x80", b'"%b"'], ids=repr
)
async def test_bytes_beyond_ascii_are_a_refused_token_and_no_mistake_of_ours(target: Target, token: bytes) -> None:
    """A6."""
    good = target.forge.good().encode()
    assert shown(await target.me(b"Authorization: Bearer " + token.replace(b"%b", good))) == REFUSED


@pytest.mark.parametrize(
    "line",
    [
        b"Authorization: Bearer a\0b",
        b"Authorization: Bearer a\x0bb",
        b"Authorization: Bearer %b\r\n more",
        b"Authorization : Bearer %b",
        b"Author\0ization: Bearer %b",
        b"Authorization: Bearer %b\r\n\tX: y",
        b": Bearer %b",
        b"Authorization\tBearer %b",
    ],
    ids=repr,
)
async def test_line_that_is_no_header_is_never_read_as_one(target: Target, line: bytes) -> None:
    """A7: NUL, folded lines (obs-fold), a space before the colon. 400 by the server, or no credential at all."""
    good = target.forge.good().encode()
    status, _, _ = await target.me(line.replace(b"%b", good))
    assert status in (400, 401)


@pytest.mark.parametrize("size", [8193, 16_384, 32_768])
async def test_header_longer_than_the_limit_is_malformed_or_cut_off(target: Target, size: int) -> None:
    """A8: from 8193 bytes on it is 400; from 32 KiB of head on the connection ends."""
    status, _, problem = await target.me(b"Authorization: Bearer " + b"a" * size)
    assert (status, problem and problem["code"]) in ((400, "invalid_request"), (0, None))


async def test_megabytes_of_header_end_the_connection(target: Target) -> None:
    """A8: httptools has no limit of its own and would take eight megabytes."""
    try:
        status, _, _ = await target.me(b"Authorization: Bearer " + b"a" * 8_000_000)
    except ConnectionError:
        status = 0
    assert status in (0, 400, 431)


@pytest.mark.parametrize(
    "query",
    [
        b"access_token=%b",
        b"a=1&access_token=%b",
        b"access%5Ftoken=%b",
        b"access_token",
        b"%61ccess_token=x",
        b"access_token=a&x",
    ],
)
async def test_token_in_the_query_is_malformed_beside_a_good_header_too(target: Target, query: bytes) -> None:
    """A9, RFC 9700 section 4.3.2."""
    good = target.forge.good().encode()
    path = b"/v1/me?" + query.replace(b"%b", good)
    assert shown(await target.me(path=path)) == MALFORMED
    assert shown(await target.me(b"Authorization: Bearer " + good, path=path)) == MALFORMED


async def test_token_in_a_form_is_malformed(target: Target) -> None:
    """A9, RFC 6750 section 2.2 is not supported."""
    body = b"access_token=" + target.forge.good().encode()
    head = (
        b"POST /v1/items HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    status, _, problem = await target.exchange(head + body)
    assert (status, b'"invalid_request"' in problem) == (400, True)


@pytest.mark.parametrize("path", [b"/v1/me/", b"//evil.example/v1/me", b"/v1/items/", b"/t/acme/", b"/admin/"])
async def test_slash_too_much_leads_nowhere(target: Target, path: bytes) -> None:
    """A11: no redirect, so none to a host of the sender's choice."""
    good = target.forge.good().encode()
    head = b"GET %b HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\nAuthorization: Bearer %b\r\n\r\n" % (
        path,
        good,
    )
    status, headers, _ = await target.exchange(head)
    assert status == 404
    assert "location" not in headers


@pytest.mark.parametrize(
    "host", [b"Host: a/../x?", b"Host: a\r\nHost: b", b"Host: evil.example@a", b"Host: ", b"Host: [::1"]
)
async def test_host_decides_nothing(target: Target, host: bytes) -> None:
    """A12, Starlette CVE-2026-48710: neither who calls nor what is answered depends on it."""
    for token, expected in ((target.forge.good().encode(), {200, 400}), (b"a.b.c", {400, 401})):
        head = b"GET /v1/me HTTP/1.1\r\n%b\r\nConnection: close\r\nAuthorization: Bearer %b\r\n\r\n" % (host, token)
        status, _, body = await target.exchange(head)
        assert status in expected
        assert b"evil" not in body


@pytest.mark.parametrize(
    "line",
    [
        b"X-Forwarded-For: 127.0.0.1",
        b"X-Forwarded-Host: evil.example",
        b"Forwarded: for=127.0.0.1;proto=https",
        b"X-Original-URI: /public",
        b"X-Forwarded-Uri: /public",
        b"X-Forwarded-Prefix: /admin",
        b"X-Rewrite-URL: /public",
        b"X-Tenant: globex",
        b"X-Tenant-Id: globex",
        b"X-User-Roles: admin",
        b"X_Tenant: globex",
        b"X-HTTP-Method-Override: GET",
    ],
)
async def test_header_of_the_sender_s_own_changes_no_decision(target: Target, line: bytes) -> None:
    """A13, A15, E8, M2, M3: the token alone says who calls."""
    good = target.forge.good().encode()
    assert shown(await target.me(line)) == MISSING
    status, _, body = await target.me(b"Authorization: Bearer " + good, line)
    assert (status, body["tenant"]["slug"], body["roles"]) == (200, "acme", ["editor"])
    assert shown(await target.me(b"Authorization: Bearer " + good, line, method=b"DELETE"))[0] == 405


@pytest.mark.parametrize("method", [b"HEAD", b"OPTIONS", b"TRACE", b"PROPFIND", b"get", b"CONNECT", b"PUT"])
async def test_no_method_passes_without_a_token(target: Target, method: bytes) -> None:
    """A15."""
    for path in (b"/v1/me", b"/v1/items", b"/t/acme/v1/items", b"/admin/v1/tenants"):
        status, headers, body = await target.me(path=path, method=method)
        assert status in (400, 401, 404, 405), (path, status)
        assert "set-cookie" not in headers
        assert body is None or "data" not in body


@pytest.mark.parametrize("origin", [b"null", b"https://evil.example", b"http://127.0.0.1", b"https://api.test.evil"])
async def test_no_origin_is_allowed_unless_it_was_set(target: Target, origin: bytes) -> None:
    """A16: CORS is off by default."""
    good = target.forge.good().encode()
    for method in (b"GET", b"OPTIONS"):
        asked = (b"Origin: " + origin, b"Access-Control-Request-Method: GET", b"Authorization: Bearer " + good)
        _, headers, _ = await target.me(*asked, method=method)
        assert not [name for name in headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", [b"/t/globex/v1/me", b"/t/nobody/v1/me", b"/t/ACME/v1/me", b"/t/acme%00/v1/me"])
async def test_path_never_chooses_the_tenant(target: Target, path: bytes) -> None:
    """E8, E9: one answer, whether the tenant in the path exists or not."""
    good = target.forge.good().encode()
    assert shown(await target.me(b"Authorization: Bearer " + good, path=path)) == (403, "tenant_mismatch")


@pytest.mark.parametrize(
    "path", [b"/t/acme%2fx/v1/me", b"/t//acme/v1/me", b"//t/acme/v1/me", b"/t/acme;x/v1/me", b"/t/../v1/me"]
)
async def test_odd_path_is_not_repaired(target: Target, path: bytes) -> None:
    """E9."""
    good = target.forge.good().encode()
    status, _, body = await target.me(b"Authorization: Bearer " + good, path=path)
    assert status in (403, 404)
    assert body["code"] in ("tenant_mismatch", "not_found")


async def test_http_1_0_and_chunked_bodies_are_authenticated_alike(target: Target) -> None:
    good = target.forge.good().encode()
    status, _, _ = await target.exchange(b"GET /v1/me HTTP/1.0\r\nAuthorization: Bearer %b\r\n\r\n" % good)
    assert status == 200
    for token, expected in ((good, 201), (b"a.b.c", 401)):
        head = (
            b"POST /v1/items HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\nAuthorization: Bearer %b\r\n\r\n" % token
        )
        status, _, body = await target.exchange(head + b'f\r\n{"title": "abc"\r\n1\r\n}\r\n0\r\n\r\n')
        assert status == expected, body


async def test_smuggled_request_is_not_a_second_one(target: Target) -> None:
    """Two lengths, or a length beside chunks (RFC 9112 section 6.3): one answer at most, then the connection ends."""
    good = target.forge.good().encode()
    inner = b"GET /v1/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\n\r\n" % good
    for lines in (
        b"Content-Length: 0\r\nContent-Length: %d" % len(inner),
        b"Transfer-Encoding: chunked\r\nContent-Length: %d" % (len(inner) + 5),
    ):
        head = b"POST /public HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n\r\n"
        _, _, rest = await asyncio.wait_for(target.exchange(head + b"0\r\n\r\n" + inner + b"QUIT"), 10)
        assert b'"slug":"acme"' not in rest


async def test_tenant_token_opens_no_door_of_the_admin_plane(target: Target) -> None:
    """D16, K1: however the realm calls its roles."""
    admin = target.forge.good(
        realm_access={"roles": ["platform-admin", "admin", "realm-admin"]},
        resource_access={"tenants-api": {"roles": ["platform-admin", "admin"]}},
    )
    answer = await target.me(b"Authorization: Bearer " + admin.encode(), path=b"/admin/v1/tenants")
    assert answer[0] == 401
    assert (await target.me(b"Authorization: Bearer " + ADMIN_KEY.encode(), path=b"/admin/v1/tenants"))[0] == 200
    assert shown(await target.me(b"Authorization: Bearer " + ADMIN_KEY.encode())) == REFUSED
