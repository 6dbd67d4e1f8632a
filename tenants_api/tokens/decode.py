"""Decodes the text of a token, strictly and once, into an `UntrustedToken`.

It refuses what PyJWT leaves open (padding, duplicate members, NaN, byte order marks): RFC 7515 sections 2 and 4,
RFC 8725 sections 2.4 and 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, NewType, NoReturn

from tenants_api.encoding.strict_base64 import parse_base64url
from tenants_api.encoding.strict_json import parse_json
from tenants_api.tokens.errors import InvalidToken, Refusal

MAX_TOKEN_BYTES = 8192  # the default of TENANTS_MAX_TOKEN_BYTES
MAX_HEADER_CHARACTERS = 2048
MAX_KID_CHARACTERS = 256

# `crit` and `b64` change what is signed, `jwk jku x5u x5c` offer a key of the sender's own, the rest is not JWS.
_REFUSED_HEADERS = ("crit", "b64", "jwk", "jku", "x5u", "x5c", "enc", "zip", "cty")
_NOT_BASE64URL = Refusal("format", "not_base64url", expected="canonical base64url without padding")
_ACCESS_TOKEN_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})


# The claims before and after the signature check. Functions that decide take verified ones.
UnverifiedClaims = NewType("UnverifiedClaims", dict[str, Any])
VerifiedClaims = NewType("VerifiedClaims", dict[str, Any])


class UntrustedToken(NamedTuple):
    """A decoded token whose signature was not checked. Only `issuer`, `kid`, `algorithm` and `organization` are used.

    `header` is the first segment, still encoded.
    """

    header: bytes
    issuer: str
    kid: str
    algorithm: str
    claims: UnverifiedClaims
    signing_input: bytes
    signature: bytes


def refuse(step: str, reason: str, *, expected: Any = None, found: Any = None) -> NoReturn:
    """Raise InvalidToken with this reason for the operator; the response is the same for every reason."""
    raise InvalidToken(Refusal(step, reason, expected, found))


def decode_unverified(
    raw: bytes, *, headers: Mapping[bytes, tuple[str, str]] | None = None, max_bytes: int = MAX_TOKEN_BYTES
) -> UntrustedToken:
    """Decode a token of `max_bytes` at most, without checking its signature.

    `headers` has algorithm and kid by header: all tokens of one key have the same one, byte for byte.

    Raises:
        InvalidToken: the text is not exactly one well-formed JWS with a JSON object as its payload.
    """
    header, kid, algorithm, payload, signing_input, signature = split_jws(raw, headers=headers, max_bytes=max_bytes)
    claims = _parse(payload, step="format")
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or not issuer:
        refuse("issuer", "no_issuer", expected="a string", found=type(issuer).__name__)
    return UntrustedToken(header, issuer, kid, algorithm, UnverifiedClaims(claims), signing_input, signature)


def split_jws(
    raw: bytes, *, headers: Mapping[bytes, tuple[str, str]] | None = None, max_bytes: int = MAX_TOKEN_BYTES
) -> tuple[bytes, str, str, bytes, bytes, bytes]:
    """Header (still encoded), kid, algorithm, payload, signing input and signature of a compact JWS.

    The header is read strictly, the payload not at all (RFC 7515 section 7.1).

    Raises:
        InvalidToken: the text is not exactly one well-formed JWS.
    """
    if len(raw) > max_bytes:
        expected = f"at most {max_bytes} bytes (TENANTS_MAX_TOKEN_BYTES)"
        refuse("format", "token_too_large", expected=expected, found=len(raw))
    if not raw.isascii():
        refuse("format", "not_ascii", expected="US-ASCII")
    if (dots := raw.count(b".")) != 2:
        refuse("format", "not_three_segments", expected=3, found=dots + 1)
    signing_input, _, last = raw.rpartition(b".")
    try:
        # The shortest segment first, and no JSON before all are decoded: garbage is refused as early as possible.
        signature = parse_base64url(last)
        first, _, second = signing_input.partition(b".")
        if len(first) > MAX_HEADER_CHARACTERS:
            refuse(
                "header", "header_too_long", expected=f"at most {MAX_HEADER_CHARACTERS} characters", found=len(first)
            )
        payload = parse_base64url(second)
        if not (first and payload and signature):
            raise InvalidToken(_NOT_BASE64URL)
        known = headers.get(first) if headers is not None else None
        algorithm, kid = known or _check_header(_parse(parse_base64url(first), step="header"))
    except ValueError:
        raise InvalidToken(_NOT_BASE64URL) from None
    return first, kid, algorithm, payload, signing_input, signature


def _check_header(header: dict[str, Any]) -> tuple[str, str]:
    for name in _REFUSED_HEADERS:
        if name in header:
            refuse("header", "header_refused", expected=f"no {name}", found=name)
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str):
        refuse("algorithm", "no_algorithm", expected="a string", found=type(algorithm).__name__)
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_CHARACTERS:
        refuse("key", "no_kid", expected=f"a string of 1 to {MAX_KID_CHARACTERS} characters", found=type(kid).__name__)
    if not isinstance(kind, str) or kind.lower() not in _ACCESS_TOKEN_TYPES:
        # RFC 8725 section 3.11: a logout token (`logout+jwt`) or a DPoP proof is not an access token.
        refuse("header", "header_type", expected="JWT or at+jwt", found=kind if isinstance(kind, str) else None)
    return algorithm, kid


def _parse(data: bytes, *, step: str) -> dict[str, Any]:
    try:
        value = parse_json(data)
    except ValueError:
        refuse(step, "not_strict_json", expected="UTF-8 JSON without duplicate members, NaN or lone surrogates")
    if not isinstance(value, dict):
        refuse(step, "not_an_object", expected="a JSON object", found=type(value).__name__)
    return value
