"""Where the one bearer token of a request is (RFC 6750 section 2.1, RFC 9110 section 11). Knows no framework."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl

from tenants_api.verification.errors import MalformedCredentials, MissingToken

MAX_HEADER = 8192  # bytes of the value, scheme included
_SPACE, _COMMA, _TAB, _NEWLINE, _RETURN, _VERTICAL, _FORM = b" ,\t\n\r\v\f"


def bearer_token_of(headers: Iterable[tuple[bytes, bytes]], *, query: bytes = b"") -> str:
    """The one bearer token; header names are in lower case, as in ASGI.

    Raises:
        MissingToken: there are no credentials, or those of another scheme.
        MalformedCredentials: two headers, white space or a comma in the token, too long, or a token in the query.
    """
    values = [value for name, value in headers if name == b"authorization"]
    if query and _names_token(query):
        # RFC 9700 section 4.3.2: URLs are logged, cached and sent on as referrers.
        raise MalformedCredentials("a token in the query string is not read; send it in the Authorization header")
    if len(values) > 1:
        raise MalformedCredentials("there are two Authorization headers")
    value = values[0] if values else b""
    if len(value) > MAX_HEADER:
        raise MalformedCredentials(f"the Authorization header is longer than {MAX_HEADER} bytes")
    scheme, token = value[:6], value[6:]
    if scheme.lower() != b"bearer" or (token and token[:1].isalnum()):
        raise MissingToken
    token = token[1:] if token[:1] == b" " else b""
    if not token or _is_split(token):
        raise MalformedCredentials("the Authorization header is not `Bearer`, one space and one token")
    return token.decode("latin-1")


def plain_token_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """What follows `Bearer ` in the one Authorization header, unchecked, to recall a token that was verified before.

    None is no refusal: `bearer_token_of` says what is wrong, or reads another spelling of the scheme.
    """
    found = None
    for name, value in headers:
        if name == b"authorization":
            if found is not None or value[:7] != b"Bearer ":
                return None
            found = value[7:]
    return found


def _is_split(token: bytes) -> bool:
    """Whether white space or a comma is in it; written out, for each of these is one look by memchr."""
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
    """Whether a parameter is called `access_token`, in whatever spelling a URL has for that."""
    if b"token" not in query.lower() and b"%" not in query:
        return False
    names = (name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    return "access_token" in names
