"""A of the catalogue: raw bytes to the server. Nothing between the test and the socket repairs a request."""

from __future__ import annotations

import pytest

from tests.attacks.arena import CHALLENGES, Arena
from tests.attacks.battery.cases import ACCEPTED, HUNG_UP, MALFORMED, MISSING, NOT_HTTP, REFUSED
from tests.house.tree import files, name_of

pytestmark = pytest.mark.xdist_group("battery-a")


async def shown(arena: Arena, *lines: str | bytes, **more: str) -> tuple[int, str]:
    """Status and code; a problem of the tenant plane has its challenge, and no answer repeats the token."""
    answer = await arena.get(*lines, **more)
    status, code = answer.shown
    if code in CHALLENGES:
        assert answer.header("www-authenticate") == CHALLENGES[code]
    assert b"eyJ" not in answer.body
    return status, code


def with_token(arena: Arena, form: str) -> str:
    return form.replace("{good}", arena.mint.token())


@pytest.mark.parametrize(
    "line", ["X: y", "Authorization:", "Authorization: Basic YTpi", "Authorization: Negotiate abc", "Authorization: abc", "Authorization: Bearerx abc", "Authorization: Digest username=x", "Authorization: {good}", "authorization: token {good}"]
)  # fmt: skip
async def test_a1_other_credentials_are_none_and_challenged_without_an_error(arena: Arena, line: str) -> None:
    assert await shown(arena, with_token(arena, line)) == MISSING


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
async def test_a2_scheme_and_name_are_read_in_any_case(arena: Arena, scheme: str, name: str) -> None:
    assert await shown(arena, f"{name}: {scheme} {arena.mint.token()}") == ACCEPTED


@pytest.mark.parametrize(
    "second",
    ["Authorization: Bearer {good}", "Authorization: Bearer bad", "authorization: Basic YTpi", "Authorization:"],
)
async def test_a3_two_authorization_headers_are_malformed_in_either_order(arena: Arena, second: str) -> None:
    lines = [with_token(arena, "Authorization: Bearer {good}"), with_token(arena, second)]
    assert await shown(arena, *lines) == MALFORMED
    assert await shown(arena, *reversed(lines)) == MALFORMED


@pytest.mark.parametrize(
    "value", ["Bearer {good}, Bearer {good}", "Bearer {good},Bearer x", "Bearer {good} x", "Bearer x {good}", "Bearer {good},", "Bearer ,{good}", "Bearer Bearer {good}"]
)  # fmt: skip
async def test_a4_two_tokens_in_one_header_are_malformed(arena: Arena, value: str) -> None:
    assert await shown(arena, with_token(arena, f"Authorization: {value}")) == MALFORMED


SPACES = {
    "Bearer\t{good}": MALFORMED,
    "Bearer  {good}": ACCEPTED,
    "Bearer     {good}": ACCEPTED,
    "Bearer  {good} x": MALFORMED,
    "Bearer \t{good}": MALFORMED,
    "Bearer\xa0{good}": MALFORMED,
    "Bearer \xa0{good}": REFUSED,
    "Bearer": MALFORMED,
    "Bearer\x0b{good}": NOT_HTTP,
    "Bearer \x0c{good}": NOT_HTTP,
}


@pytest.mark.parametrize("value", SPACES)
async def test_a5_white_space_other_than_spaces_before_the_token_is_malformed(arena: Arena, value: str) -> None:
    assert await shown(arena, with_token(arena, f"Authorization: {value}")) == SPACES[value]


@pytest.mark.parametrize("value", ["Authorization: Bearer {good} ", "Authorization: Bearer {good}\t", "Authorization:   Bearer {good}"])  # fmt: skip
async def test_a5_white_space_round_a_value_is_no_part_of_it(arena: Arena, value: str) -> None:
    """A5: RFC 9110 section 5.5 has it removed before the value is read."""
    assert await shown(arena, with_token(arena, value)) == ACCEPTED


@pytest.mark.parametrize("token", ["\xe9", "{good}\xe9", "\xff\xfe", "\xef\xbb\xbf{good}", "\xc2\xa0", "\x80"])
async def test_a6_bytes_beyond_ascii_are_a_refused_token_never_an_error(arena: Arena, token: str) -> None:
    assert await shown(arena, with_token(arena, f"Authorization: Bearer {token}")) == REFUSED


BROKEN_LINES = {
    "NUL in the token": "Authorization: Bearer a\0b",
    "NUL in the name": "Author\0ization: Bearer {good}",
    "obs-fold": "Authorization: Bearer\r\n {good}",
    "obs-fold with a tab": "Authorization: Bearer\r\n\t{good}",
    "space before the colon": "Authorization : Bearer {good}",
    "space in the name": "Author ization: Bearer {good}",
    "no colon": "Authorization Bearer {good}",
    "empty name": ": Bearer {good}",
    "line feed alone in the value": "Authorization: Bearer {good}\nX: y",
    "carriage return alone in the value": "Authorization: Bearer {good}\rX: y",
    "control character": "Authorization: Bearer {good}\x01",
}


@pytest.mark.parametrize("line", BROKEN_LINES.values(), ids=BROKEN_LINES)
async def test_a7_request_that_is_no_http_reaches_no_application(arena: Arena, line: str) -> None:
    """A7: the parser answers 400, or reads exactly one good header where a line ends in LF alone; never two."""
    found = await shown(arena, with_token(arena, line))
    allowed = {NOT_HTTP, MISSING} | ({ACCEPTED} if line.endswith("\nX: y") else set())
    assert found in allowed


# A head that comes in one piece may reach the application; one that keeps coming is cut.
SIZES = {
    8192: {REFUSED},
    8193: {MALFORMED},
    16_384: {MALFORMED},
    70_000: {MALFORMED, HUNG_UP},
    8_000_000: {HUNG_UP},
}


@pytest.mark.parametrize("size", SIZES)
async def test_a8_long_header_is_refused_before_it_is_read(arena: Arena, size: int) -> None:
    """A8: `size` is the value's, scheme included."""
    token = "a" * (size - len("Bearer "))
    assert await shown(arena, f"Authorization: Bearer {token}") in SIZES[size]


@pytest.mark.parametrize("query", ["access_token={good}", "x=1&access_token={good}", "access%5Ftoken={good}", "access_token=", "access_token"])  # fmt: skip
async def test_a9_token_in_the_query_is_malformed_with_and_without_a_header(arena: Arena, query: str) -> None:
    """A9: API.md has 400 for both."""
    path = with_token(arena, f"/v1/me?{query}")
    assert await shown(arena, path=path) == MALFORMED
    assert await shown(arena, with_token(arena, "authorization: bearer {good}"), path=path) == MALFORMED


async def test_a9_token_in_a_cookie_or_another_header_is_none(arena: Arena) -> None:
    for name in ("Cookie: access_token=", "Cookie: token=", "X-Access-Token: ", "Proxy-Authorization: Bearer ", "X-Authorization: Bearer ", "Authorization_: Bearer "):  # fmt: skip
        assert await shown(arena, name + arena.mint.token()) == MISSING, name


async def test_a9_token_in_a_form_is_malformed_or_none(arena: Arena) -> None:
    body = f"access_token={arena.mint.token()}"
    kind = "Content-Type: application/x-www-form-urlencoded"
    assert await _post(arena, body, kind) == MALFORMED
    assert await _post(arena, body, kind, f"Authorization: Bearer {arena.mint.token()}") == MALFORMED
    assert await _post(arena, "%61" + body[1:], kind) == MISSING


async def _post(arena: Arena, body: str, *lines: str) -> tuple[int, str]:
    head = ["POST /v1/items HTTP/1.1", "Host: api.test", "Connection: close", f"Content-Length: {len(body)}", *lines]
    return (await arena.send("\r\n".join([*head, "", body]).encode())).shown


@pytest.mark.parametrize("scheme", ["DPoP", "dpop", "MAC", "GNAP", "PoP"])
async def test_a10_scheme_that_is_off_is_answered_with_the_one_that_is_on(arena: Arena, scheme: str) -> None:
    assert await shown(arena, f"Authorization: {scheme} {arena.mint.token()}") == MISSING


HOSTS = ("evil.example", "localhost/../x?", "evil.example:99999", "[::1", "a b", "", "api.test@evil.example", "\xe9")


@pytest.mark.parametrize("host", HOSTS)
async def test_a11_a12_no_answer_depends_on_the_host_that_a_caller_names(arena: Arena, host: str) -> None:
    token = f"Authorization: Bearer {arena.mint.token()}"
    for path, status in (("/v1/me", 200), ("/v1/me/", 404), ("/t/acme/v1/me", 200), ("//evil.example/v1/me", 404)):
        head = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close", token, "", ""]
        answer = await arena.send("\r\n".join(head).encode("latin-1"))
        assert answer.status == status, path
        assert answer.header("location") is None
        assert not host or host.encode("latin-1") not in answer.body


async def test_a12_two_hosts_change_nothing_because_none_is_read(arena: Arena) -> None:
    """A12: httptools lets two pass; so nothing in the package may ask for the host, and nothing does."""
    assert await shown(arena, "Host: evil.example", f"Authorization: Bearer {arena.mint.token()}") == ACCEPTED
    sources = [*files("tenants_api/api", suffix=".py"), *files("tenants_api/app.py")]
    readers = (
        "request.base_url",
        "url_for(",
        "url.hostname",
        "url.netloc",
        'headers["host"]',
        'b"host"',
        "str(request.url)",
    )
    assert [name_of(path) for path in sources if any(reader in path.read_text("utf-8") for reader in readers)] == []


FORWARDED = (
    "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "X-Forwarded-Prefix: /admin", "X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1;host=evil.example",
    "X_Forwarded_Host: evil.example", "X-Original-URL: /admin/v1/tenants", "X-Rewrite-URL: /admin/v1/tenants", "X-Forwarded-Uri: /public", "X-Original-URI: /public",
)  # fmt: skip


async def test_a13_forwarding_headers_of_a_caller_are_not_read(arena: Arena) -> None:
    assert await shown(arena, *FORWARDED) == MISSING
    answer = await arena.get(*FORWARDED, f"Authorization: Bearer {arena.mint.token()}")
    assert (answer.shown, answer.json["tenant"]["slug"]) == (ACCEPTED, "acme")


@pytest.mark.parametrize("path", ["/v1/me", "/", "/admin/v1/tenants", "/t/acme/v1/me"])
async def test_a14_nothing_upgrades_to_a_websocket(arena: Arena, path: str) -> None:
    """A14: a token in the subprotocol or in the query is no credential either."""
    token = arena.mint.token()
    lines = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", f"Sec-WebSocket-Protocol: bearer, {token}"]  # fmt: skip
    assert (await arena.get(*lines, path=path)).status == (200 if path == "/" else 401)
    assert (await arena.get("Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA", path=path)).status != 101
    assert (await arena.get("Accept: text/event-stream", path="/v1/me")).shown == MISSING


@pytest.mark.parametrize(
    "method", ["HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "POST", "PATCH", "DELETE"]
)
async def test_a15_no_method_gets_round_the_token(arena: Arena, method: str) -> None:
    answer = await arena.get(method=method, path="/v1/items")
    assert answer.status in (400, 401, 405), answer
    tenantless = await arena.get(method=method, path="/v1/me")
    assert tenantless.status in (400, 401, 405)
    assert b"tenant" not in tenantless.body.replace(b"tenants-api", b"")


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"])
async def test_a15_method_is_the_one_of_the_request_line(arena: Arena, name: str) -> None:
    assert await shown(arena, f"{name}: OPTIONS") == MISSING
    answer = await arena.get(f"{name}: DELETE", f"Authorization: Bearer {arena.mint.token()}", path="/v1/items")
    assert answer.status == 200


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "http://127.0.0.1", "file://"])
async def test_a16_no_origin_is_allowed_unless_it_is_set(arena: Arena, origin: str) -> None:
    for method in ("GET", "OPTIONS"):
        answer = await arena.get(f"Origin: {origin}", "Access-Control-Request-Method: GET", method=method)
        assert [name for name, _ in answer.headers if name.startswith("access-control")] == []


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_every_version_of_http_meets_the_same_guard(arena: Arena, version: str) -> None:
    """A: HTTP/1.0 has neither Host nor persistent connections; the token is read alike."""
    token = f"Authorization: Bearer {arena.mint.token()}"
    assert await shown(arena, token, version=version) == ACCEPTED
    assert await shown(arena, version=version) == MISSING
    assert await shown(arena, token, token, version=version) == MALFORMED
    bare = await arena.send(f"GET /v1/me HTTP/1.0\r\n{token}\r\n\r\n".encode())
    assert bare.shown == ACCEPTED


async def test_chunked_body_and_its_trailer_bring_no_credentials(arena: Arena) -> None:
    """A: a header field in the trailer is no header field of the request (RFC 9110 section 6.5.1)."""
    trailer = f"0\r\nAuthorization: Bearer {arena.mint.token()}\r\n\r\n".encode()
    head = b"POST /v1/items HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n"
    body = b'e\r\n{"title": "x"}\r\n'
    assert (await arena.send(chunked + body + trailer)).shown == MISSING
    with_header = chunked.replace(b"Host: x", b"Host: x\r\nAuthorization: Bearer " + arena.mint.token().encode())
    assert (await arena.send(with_header + body + b"0\r\n\r\n")).status == 201


SMUGGLED = {
    "length and chunked": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 40\r\n\r\n",
    "length with a plus": b"Content-Length: +4\r\n\r\nabcd",
    "negative length": b"Content-Length: -1\r\n\r\n",
    "length in hexadecimal": b"Content-Length: 0x4\r\n\r\nabcd",
    "other coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunk size that is none": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("rest", SMUGGLED.values(), ids=SMUGGLED)
async def test_body_of_two_lengths_smuggles_no_second_request(arena: Arena, rest: bytes) -> None:
    """A: RFC 9112 section 6.3. What follows must not be answered as a request of its own."""
    second = b"GET /public HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    head = b"POST /v1/items HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    answer = await arena.send(head + rest + second)
    assert answer.status in (400, 401), answer
    assert b"HTTP/1.1 200" not in answer.body
