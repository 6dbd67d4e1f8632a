"""D: claims that a realm's own key signed and that must not be believed: every tenant's admin may be an attacker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from tests.attacks.battery.cases import EXPIRED, Hostile, Make, Mint
from tests.support.tokens import DROP


def _claims(row: str, name: str, claims: dict[str, Any], reason: str) -> Hostile:
    return Hostile(row, f"{name}", lambda mint: mint.token(claims=claims), reason)


def _values(row: str, claim: str, reason: str, *values: Any) -> tuple[Hostile, ...]:
    return tuple(_claims(row, f"{claim} {value!r:.40}", {claim: value}, reason) for value in values)


def _written(row: str, claim: str, reason: str, *texts: bytes) -> tuple[Hostile, ...]:
    """A value that Python would not write: the JSON text itself."""

    def make(text: bytes) -> Make:
        return lambda mint: mint.token(payload=mint.payload(**{claim: "@"}).replace(b'"@"', text))

    return tuple(Hostile(row, f"{claim} written {text[:30]!r}", make(text), reason) for text in texts)


def _timed(row: str, name: str, reason: str, answer: tuple[int, str] | None = None, **offsets: int) -> Hostile:
    """Claims that are so many seconds from now."""

    def make(mint: Mint) -> str:
        now = int(time.time())
        return mint.token(claims={claim: now + offset for claim, offset in offsets.items()})

    return Hostile(row, name, make, reason, *([answer] if answer else []))


def _kind(name: str, kind: Any, reason: str, **more: Any) -> Hostile:
    return Hostile("D10", name, lambda mint: mint.server.realm("acme").mint(kind=kind, **more), reason)


def _other(row: str, name: str, claims: Callable[[Mint], dict[str, Any]], reason: str) -> Hostile:
    return Hostile(row, name, lambda mint: mint.token(claims=claims(mint)), reason)


def _assertion(mint: Mint) -> str:
    """RFC 7523: what a client signs of itself; issuer and subject are its own name."""
    now = int(time.time())
    body = {"iss": "web", "sub": "web", "aud": mint.issuer(), "jti": "1", "iat": now, "exp": now + 60}
    return mint.token(payload=json.dumps(body).encode())


def _userinfo(mint: Mint) -> str:
    """A signed answer of the userinfo endpoint: the right issuer and audience, no time, no type."""
    body = {"iss": mint.issuer(), "aud": "tenants-api", "sub": "alice", "email": "alice@acme.example"}
    return mint.token(payload=json.dumps(body).encode())


def _jarm(mint: Mint) -> str:
    body = {"iss": mint.issuer(), "aud": "tenants-api", "exp": int(time.time()) + 60, "code": "c", "state": "s"}
    return mint.token(payload=json.dumps(body).encode())


_D1 = (
    *_values("D1", "exp", "no_exp", DROP, None),
    _timed("D1", "an hour ago", "expired", EXPIRED, iat=-3900, exp=-3600),
    _timed("D1", "just over the leeway", "expired", EXPIRED, iat=-300, exp=-32),
    _timed("D1", "before it was issued", "expired", EXPIRED, iat=0, exp=-300),
)
_D2 = (
    *_values("D2", "exp", "no_exp", "4102444800", " 4102444800 ", "4_102_444_800", "٤١٠٢٤٤٤٨٠٠", True, False, [], [4102444800], {}, 1e308, 0.5, -1.5, 0, -1, 10**400, "", "never", 2**53, 2**63, 253_402_300_800),
    *_written("D2", "exp", "not_strict_json", b"NaN", b"Infinity", b"-Infinity", b"0x7fffffff", b"1_000", b"9" * 5000, b"+1", b"01"),
    *_written("D2", "exp", "no_exp", b"1e400", b"-1e400", b"-0", b"-0.0", b"1E12", b"9" * 400),
    *_written("D2", "exp", "lives_too_long", b"4102444800.0", b"4.1e9", b"1E10", b"253402300799"),
    Hostile("D2", "exp in 1970", lambda mint: mint.token(claims={"exp": 1.5}), "expired", EXPIRED),
)  # fmt: skip
_D3 = (
    _other("D3", "in milliseconds", lambda mint: {"exp": int(time.time() * 1000) + 300_000}, "no_exp"),
    _timed("D3", "ten years", "lives_too_long", iat=0, exp=315_360_000),
    _timed("D3", "one second too long", "lives_too_long", iat=0, exp=86_401),
    _timed("D3", "in the year 9999", "lives_too_long", iat=0, exp=200_000_000_000),
)
_D4 = (
    *_values("D4", "iat", "no_iat", DROP, None, True, "0", "now", 0, 0.5, -1, 1e308, [], 10**400),
    _timed("D4", "in a minute", "issued_in_the_future", iat=60, exp=360),
    _timed("D4", "two days ago, still good for five minutes", "lives_too_long", iat=-172_800, exp=300),
)
_D5 = (
    *_values("D5", "nbf", "no_nbf", None, True, False, "0", "1", 1e308, -1, -0.5, [], {}),
    _timed("D5", "in a minute", "not_yet_valid", nbf=60),
    _timed("D5", "in ten years", "not_yet_valid", nbf=315_360_000),
)
_D6 = (
    *_values("D6", "iss", "no_issuer", DROP, None, "", 1, True, {}, []),
    _other("D6", "in a list", lambda mint: {"iss": [mint.issuer()]}, "no_issuer"),
    _other("D6", "two in a list", lambda mint: {"iss": [mint.issuer(), "https://evil.example"]}, "no_issuer"),
    _other("D6", "as a member", lambda mint: {"iss": {mint.issuer(): 1}}, "no_issuer"),
    _other("D6", "NUL at the end", lambda mint: {"iss": mint.issuer() + "\0"}, "unknown_issuer"),
    _other("D6", "another realm's", lambda mint: {"iss": mint.issuer("globex")}, "unknown_key"),
    *_values("D6", "iss", "unknown_issuer", "null", "None", "*", "acme", "/", " "),
)
_D7 = _values(
    "D7", "aud", "wrong_audience",
    DROP, None, "", [], {}, 1, True, "tenants", "tenants-api2", "xtenants-api", "tenants-ap", "Tenants-API", "tenants-api ", " tenants-api", "tenants-api\0",
    ["tenants-api", 1], ["tenants-api", None], [["tenants-api"]], {"tenants-api": 1}, "tenants-api,account", "tenants-api account", ["tenants-api,account"], "*", ["*"], "\uff54enants-api",
)  # fmt: skip
_D8 = _values("D8", "aud", "wrong_audience", "account", ["account"], ["account", "account"], "realm-management")
_D9 = (
    _claims("D9", "audience of another tenant's API", {"aud": "globex-api"}, "wrong_audience"),
    _other("D9", "the issuer as audience", lambda mint: {"aud": mint.issuer()}, "wrong_audience"),
    _claims("D9", "the API in azp, not in aud", {"aud": "account", "azp": "tenants-api"}, "wrong_audience"),
)
_D10 = (
    _kind("ID token", "id", "not_an_access_token"),
    _kind("ID token whose audience is this API", "id", "not_an_access_token", client="tenants-api", claims={"nonce": "n", "aud": "tenants-api"}),
    _kind("refresh token", "refresh", "algorithm_refused"),
    _kind("refresh token signed by the realm's key", "refresh", "not_an_access_token", algorithm="RS256"),
    _kind("logout token", "logout", "header_type"),
    _kind("logout token with another header", "logout", "not_an_access_token", header={"typ": "JWT"}),
    _kind("token bound to a DPoP key", "dpop", "not_an_access_token"),
    _kind("token bound to a DPoP key, typ Bearer", "dpop", "sender_constrained", claims={"typ": "Bearer"}),
    *_values("D10", "typ", "not_an_access_token", "ID", "Refresh", "Offline", "Logout", "Authorization", "RegistrationAccessToken", "", "Bearer ", "bearer\0", DROP, None, True, 1, ["Bearer"], "DPoP", "B\u0435arer"),
    *_values("D10", "cnf", "sender_constrained", {"jkt": "x"}, {"x5t#S256": "x"}, {}, None, "x"),
    Hostile("D10", "userinfo as JWT", _userinfo, "not_an_access_token"),
    Hostile("D10", "authorization response (JARM)", _jarm, "not_an_access_token"),
    Hostile("D10", "client assertion", _assertion, "unknown_issuer"),
)  # fmt: skip
_D11 = (
    *_values("D11", "sub", "no_subject", DROP, None, "", " ", "   ", 1, True, [], {}, "x" * 256, "x" * 4000, "a\0b", "a\nb", "a\x1bb", "\u202eadmin", "a\u200bb", "\u2028", "\ufeff", "\u00a0"),
    *_written("D11", "sub", "not_strict_json", b'"\\ud800"', b'"\\udc00a"', b'"\\ud800\\ud800"'),
    _kind("lightweight token", "lightweight", "no_subject"),
)  # fmt: skip
_D13 = _written(
    "D13", "name", "not_strict_json", b"NaN", b"Infinity", b'"\\udfff"', b"9" * 4400, b'{"a": [NaN]}', b'{"\\ud800": 1}'
)
_D18 = (
    *(
        Hostile("D18", f"azp {azp!r}", lambda mint, azp=azp: mint.token("curves", claims={"azp": azp}), "wrong_authorized_party")  # type: ignore[misc]
        for azp in ("mobile", DROP, None, ["web"], "", "WEB", "web ", 1, True, {"web": 1})
    ),
    *_values("D18", "azp", "wrong_authorized_party", ["web"], 1, True, {}),
)  # fmt: skip
# Not a row of its own: PyJWT refuses it, and RFC 7519 section 4.1.7 has it as text.
_JTI = _values("D18", "jti", "wrong_jti", None, 1, True, [], ["x"], {}, 1.5)
CASES = (*_D1, *_D2, *_D3, *_D4, *_D5, *_D6, *_D7, *_D8, *_D9, *_D10, *_D11, *_D13, *_D18, *_JTI)
