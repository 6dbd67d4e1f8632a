"""From the Authorization header to a principal (RFC 6750 section 2.1, RFC 9110 section 11).

The middleware does only what costs nothing: it recalls a token that was verified before. Everything else, also every
refusal, happens where a route asks for the principal.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from tenants_api.verification.errors import KeysUnavailable, MalformedCredentials, MissingToken, TokenError
from tenants_api.verification.principal import Principal
from tenants_api.verification.verifier import TokenVerifier
from tenants_api.wiring import Services

PRINCIPAL = "tenants_api.principal"
MAX_HEADER = 8192  # bytes of the value, scheme included
_SPACES = re.compile(rb"[\s,]")
log = structlog.get_logger("tenants_api.api")


class Authentication:
    """Puts the principal of an already verified token into the scope; a hit is one dictionary look-up."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            services: Services | None = getattr(scope["app"].state, "services", None)
            raw = _single_token(scope)
            if services is not None and raw is not None:
                principal = services.verifier.recall(raw)
                if principal is not None:
                    scope[PRINCIPAL] = principal
        await self._app(scope, receive, send)


def bearer_token(scope: Scope) -> str:
    """The one bearer token of a request.

    Raises:
        MissingToken: there are no credentials, or those of another scheme.
        MalformedCredentials: two headers, white space or a comma in the token, too long, or a token in the query.
    """
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if _names_token(scope.get("query_string", b"")):
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
    if token[:1] != b" " or len(token) < 2 or _SPACES.search(token, 1):
        raise MalformedCredentials("the Authorization header is not `Bearer`, one space and one token")
    return token[1:].decode("latin-1")


def _names_token(query: bytes) -> bool:
    """Whether a parameter is called `access_token`, in whatever spelling a URL has for that."""
    if b"token" not in query.lower() and b"%" not in query:
        return False
    names = (name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    return "access_token" in names


async def authenticate(raw: str, *, verifier: TokenVerifier, services: Services) -> Principal:
    """Verify a token; a refusal is logged and counted with its precise reason, never with the token.

    Raises:
        TokenError: the refusal with its public face.
    """
    try:
        principal = await verifier.verify(raw)
    except TokenError as error:
        refusal = error.refusal
        reason = refusal.reason if refusal is not None else error.code
        services.metrics.token_verified("refused", reason=reason)
        if refusal is not None:
            if not isinstance(error, KeysUnavailable):  # the realm's trouble says nothing of the token
                services.rejections.note(refusal)
            log.info(
                "token_refused",
                reason=reason,
                step=refusal.step,
                expected=refusal.expected,
                found=refusal.found,
                tenant=refusal.tenant_slug,
            )
        raise
    services.metrics.token_verified("accepted")
    return principal


def _single_token(scope: Scope) -> str | None:
    """The token when there is exactly one plain Bearer header; anything else is left to `bearer_token`."""
    found = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if found is not None or value[:7] != b"Bearer ":
                return None
            found = value[7:]
    return found.decode("latin-1") if found and not scope["query_string"] else None
