"""What a client writes for the connection alone (RFC 9110 section 7.6.1) opens no tunnel and takes no identity away.

Raw requests: an HTTP client would not send most of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tenants_api.forward_auth.configurations import CLIENT_HEADERS
from tenants_api.forward_auth.identity import IDENTITY_HEADERS
from tests.gateways.conftest import Door
from tests.gateways.upstream import named, offered

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("gateways")]

FORGED = b"GET /orders HTTP/1.1\r\nHost: x\r\nX-Tenant-Slug: globex\r\nX-Auth-Request-User: root\r\n\r\n"
WITHIN = 60.0  # seconds for one exchange
OFFERS = {
    "h2c": ["Upgrade: h2c"],
    "upper case": ["Upgrade: H2C"],
    "with spaces": ["Upgrade:  h2c  "],
    "before websocket": ["Upgrade: h2c, websocket"],
    "behind websocket": ["Upgrade: websocket, h2c"],
    "line before websocket": ["Upgrade: h2c", "Upgrade: websocket"],
    "line behind websocket": ["Upgrade: websocket", "Upgrade: h2c"],
    "version of websocket": ["Upgrade: websocket/13"],
    "begins with websocket": ["Upgrade: websocket2"],
    "another protocol": ["Upgrade: TLS/1.2"],
    "unknown protocol": ["Upgrade: x"],
}


async def exchanged(
    door: Door, *lines: str, request: str = "GET /orders/7 HTTP/1.1", then: bytes = b"", body: bytes = b""
) -> bytes:
    """What came back for a request with a good token and these lines; `then` is sent on the tunnel, if one opened."""
    host = door.url.removeprefix("http://")
    reader, writer = await asyncio.open_connection(*host.split(":"))
    head = [request, f"Host: {host}", f"Authorization: {door.bearer()['Authorization']}", *lines]
    try:
        async with asyncio.timeout(WITHIN):
            writer.write("\r\n".join([*head, "", ""]).encode("latin-1") + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            if answer.startswith(b"HTTP/1.1 101 ") and then:
                writer.write(then)
                answer += await reader.readexactly(len(then))
        return answer
    finally:
        writer.close()


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
async def test_d3_no_protocol_but_websocket_is_handed_on(door: Door, offer: list[str]) -> None:
    """D3: one good token, and any identity on the tunnel, for the proxy reads no request in it."""
    reached, tunnelled = len(door.upstream.lines), len(door.upstream.tunnelled)
    settings = ["Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"]
    answer = await exchanged(door, *settings, *offer, then=FORGED)
    for lines in door.upstream.lines[reached:]:
        assert set(offered(lines)) <= {"websocket"}
        assert named(lines, "http2-settings") == []
        assert all(len(named(lines, name)) == 1 for name in IDENTITY_HEADERS)
    if "websocket" not in offer[0] + offer[-1]:
        assert not answer.startswith(b"HTTP/1.1 101 ")
        assert door.upstream.tunnelled[tunnelled:] == []


async def test_d3_http2_settings_without_an_upgrade_stay_outside(door: Door) -> None:
    await exchanged(door, "HTTP2-Settings: AAMAAABkAAQAAP__")
    assert named(door.upstream.lines[-1], "http2-settings") == []


@pytest.mark.parametrize(
    "more",
    [[], ["Transfer-Encoding: chunked"], ["Upgrade: websocket", "Connection: Upgrade"]],
    ids=["alone", "with a body", "websocket"],
)
async def test_d3_connect_opens_no_tunnel(door: Door, more: list[str]) -> None:
    """A proxy may take what follows the head for a tunnel, or write it behind the head as it is: a second request."""
    host, reached, tunnelled = door.url.removeprefix("http://"), len(door.upstream.lines), len(door.upstream.tunnelled)
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(FORGED), FORGED) if "chunked" in str(more) else FORGED
    await exchanged(door, *more, request=f"CONNECT {host} HTTP/1.1", body=body)
    assert door.upstream.lines[reached:] == []
    assert door.upstream.tunnelled[tunnelled:] == []


@pytest.mark.parametrize(
    "other", ["", "close, ", "keep-alive, ", "Upgrade, "], ids=["alone", "close", "keep-alive", "upgrade"]
)
@pytest.mark.parametrize("spelling", [str, str.lower, str.upper])
async def test_d6_client_cannot_name_the_identity_as_hop_by_hop(
    door: Door, other: str, spelling: Callable[[str], str]
) -> None:
    """D6: a proxy that removes what `Connection` names removed what the authorizer had said."""
    upgrade = ["Upgrade: websocket"] if other == "Upgrade, " else []
    await exchanged(door, f"Connection: {other}{', '.join(map(spelling, IDENTITY_HEADERS))}", *upgrade, then=b"hi")
    lines = door.upstream.lines[-1]
    assert {name: len(named(lines, name)) for name in IDENTITY_HEADERS} == dict.fromkeys(IDENTITY_HEADERS, 1)
    assert named(lines, "x-tenant-slug") == ["acme"]
    options = {option.strip().lower() for value in named(lines, "connection") for option in value.split(",")}
    assert options <= {"close", "keep-alive", "upgrade"}  # the next proxy would remove whatever else they name


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Forwarded-Proto"])
async def test_d6_client_cannot_name_its_address_as_hop_by_hop(door: Door, name: str) -> None:
    await exchanged(door, f"Connection: {name}", f"{name}: forged")
    (value,) = named(door.upstream.lines[-1], name)
    assert "forged" not in value


async def test_d6_client_that_names_its_token_as_hop_by_hop_gets_no_further_than_with_it(door: Door) -> None:
    """Either it stays outside, or it comes in as itself."""
    reached = len(door.upstream.lines)
    await exchanged(door, "Connection: Authorization, close")
    assert all(named(lines, "x-tenant-slug") == ["acme"] for lines in door.upstream.lines[reached:])


async def test_client_says_nothing_of_its_address_its_certificate_or_another_path(door: Door) -> None:
    """The service believes its proxy; what that does not set itself must not come from the client."""
    claims = ["X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-Proto", *CLIENT_HEADERS]
    answer = await exchanged(
        door, *(f"{name}: forged" for name in claims), *(f"{name.lower()}: forged" for name in claims)
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert [line for line in door.upstream.lines[-1] if "forged" in line] == []


async def test_authorizer_hears_of_the_clients_address_from_the_proxy_alone(door: Door) -> None:
    await exchanged(door, "X-Forwarded-For: forged", "X-Forwarded-Proto: forged")
    _, asked = door.recorder.asked[-1]
    assert [line for line in asked if "forged" in line[1]] == []


@pytest.mark.parametrize("announced", [True, False])
async def test_identity_in_trailers_never_reaches_the_service(door: Door, announced: bool) -> None:
    """A service may add them to the headers (RFC 9110 section 6.5.1 says that it must not)."""
    before = len(door.upstream.trailers)
    body = b"2\r\nhi\r\n0\r\nX-Tenant-Slug: globex\r\nX-Auth-Request-User: root\r\nX-Forwarded-User: root\r\n\r\n"
    trailer = ["Trailer: X-Tenant-Slug, X-Auth-Request-User, X-Forwarded-User"] if announced else []
    lines = ["Transfer-Encoding: chunked", "TE: trailers", *trailer]
    answer = await exchanged(door, *lines, request="POST /orders HTTP/1.1", body=body)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert door.upstream.trailers[before:] == []
