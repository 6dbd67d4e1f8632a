"""The credential of a request (RFC 6750 section 2.1, RFC 9110 section 11). Knows no framework."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, NoReturn
from urllib.parse import unquote_to_bytes

from tenants_api.errors import MAX_QUERY_BYTES, UriTooLong
from tenants_api.tokens.decode import MAX_TOKEN_BYTES
from tenants_api.tokens.errors import MalformedCredentials, MissingToken, Refusal

BEARER = "Bearer"
SCHEMES = {b"Bearer": BEARER}  # by their usual spelling
_PARAMETER = b"access_token"
_MAX_PARAMETER_BYTES = 3 * len(_PARAMETER)  # where each character is percent-encoded
_SPACE, _COMMA, _TAB, _NEWLINE, _RETURN, _VERTICAL, _FORM = b" ,\t\n\r\v\f"


class Credential(NamedTuple):
    """What a request presents: one token, not verified.

    `scheme` is in its usual spelling. The other fields are for tokens that are bound to their sender: `method` and
    `url` (without query and fragment) are None where the edge does not know the request that the token was sent with;
    `proofs` are the values of all `DPoP` headers (RFC 9449 section 4.1); `certificate` is the base64url SHA-256
    thumbprint of the client certificate (RFC 8705 section 3.1).
    """

    scheme: str
    token: bytes
    method: str | None = None
    url: str | None = None
    proofs: tuple[bytes, ...] = ()
    certificate: str | None = None

    def __repr__(self) -> str:
        """Omits the token and the proofs, because a credential may get into a log or a trace."""
        return f"Credential({self.scheme}, {len(self.token)} bytes)"

    @classmethod
    def bearer(cls, token: str) -> Credential:
        """The credential of a bearer token that was not sent in an Authorization header."""
        return cls(BEARER, token.encode("utf-8", "surrogatepass"))


def credential_of(
    headers: Iterable[tuple[bytes, bytes]],
    *,
    query: bytes = b"",
    method: str | None = None,
    url: str | None = None,
    schemes: Mapping[bytes, str] = SCHEMES,
    max_bytes: int = MAX_TOKEN_BYTES,
) -> Credential:
    """The one credential of a request; header names are in lower case, as in ASGI.

    `schemes` are the accepted ones, by their usual spelling. `max_bytes` bounds the value of the Authorization header,
    scheme included.

    Raises:
        MissingToken: there are no credentials, or those of another scheme.
        MalformedCredentials: two headers, white space or a comma in the token, too long, or a token in the query.
        UriTooLong: the query has more than 8192 bytes.
    """
    value, count = b"", 0
    proofs: tuple[bytes, ...] = ()
    for name, found in headers:
        if name == b"authorization":
            value, count = found, count + 1
        elif name == b"dpop":
            proofs += (found,)
    if len(query) > MAX_QUERY_BYTES:
        raise UriTooLong(len(query))
    if query and _names_token(query):
        # RFC 9700 section 4.3.2: URLs are logged, cached and sent on as referrers.
        _refuse(
            "a token in the query string is not read; send it in the Authorization header",
            expected="no access_token in the query",
            found="access_token in the query",
        )
    if count > 1:
        _refuse("there are two Authorization headers", expected="one Authorization header", found=count)
    if len(value) > max_bytes:
        _refuse(
            f"the Authorization header is longer than {max_bytes} bytes",
            reason="token_too_large",
            expected=f"at most {max_bytes} bytes (TENANTS_MAX_TOKEN_BYTES)",
            found=len(value),
        )
    word, _, token = value.partition(b" ")
    scheme = schemes.get(word)
    if scheme is None or not token or _is_split(token):
        scheme, token = _parse_leniently(value, schemes=schemes.values())
    return Credential(scheme, token, method, url, proofs)


def _parse_leniently(value: bytes, *, schemes: Iterable[str]) -> tuple[str, bytes]:
    """Scheme and token of a header that is not scheme, one space, token. Raises as `credential_of`."""
    # White space round a value is no part of it (RFC 9110 section 5.5), and not every server removes it.
    value = value.strip(b" \t")
    scheme = _scheme_of(value, schemes=schemes)
    token = value[len(scheme) :]
    token = token.lstrip(b" ") if token[:1] == b" " else b""  # 1*SP (RFC 9110 section 11.4)
    if not token or _is_split(token):
        _refuse(
            f"malformed Authorization header; expected `{scheme} <token>`",
            expected=f"`{scheme}`, a space and one token",
            found="white space or a comma in the token" if token else f"no token after `{scheme}` and a space",
        )
    return scheme, token


def _scheme_of(value: bytes, *, schemes: Iterable[str]) -> str:
    """The scheme that the header's value begins with, in any case. Raises MissingToken."""
    for scheme in schemes:
        size = len(scheme)
        if value[:size].lower() == scheme.lower().encode() and not value[size : size + 1].isalnum():
            return scheme
    raise MissingToken


def _refuse(detail: str, *, reason: str = "malformed_credentials", expected: Any, found: Any) -> NoReturn:
    raise MalformedCredentials(detail, refusal=Refusal("credentials", reason, expected, found))


def _is_split(token: bytes) -> bool:
    """Whether white space or a comma is in it; written out, because each test is one call of memchr."""
    return (
        _SPACE in token
        or _COMMA in token
        or _TAB in token
        or _NEWLINE in token
        or _RETURN in token
        or _VERTICAL in token
        or _FORM in token
    )


def _names_token(query: bytes) -> bool:
    """Whether a parameter is called `access_token`, percent-encoded or not."""
    if b"token" not in query and b"%" not in query:
        return False
    names = (part.partition(b"=")[0] for part in query.split(b"&"))  # not `parse_qsl`, which decodes every value
    return any(
        name == _PARAMETER or (len(name) <= _MAX_PARAMETER_BYTES and unquote_to_bytes(name) == _PARAMETER)
        for name in names
    )
