"""From the Authorization header to a principal (RFC 6750 section 2.1, RFC 9110 section 11).

The middleware does only what costs nothing: it looks for a token that was verified before, and refuses a query string
that is too long to be read. Everything else, also a token's refusal, happens where a route asks for the principal.
"""

from __future__ import annotations

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from tenants_api.api.problems import problem_response
from tenants_api.errors import MAX_QUERY_BYTES, UriTooLong
from tenants_api.observability.request_ids import request_id_in
from tenants_api.verification.credentials import Credential, plain_token_of
from tenants_api.wiring import Services

PRINCIPAL = "tenants_api.principal"
SERVICES = "tenants_api.services"
ROLES = "tenants_api.roles"
log = structlog.get_logger("tenants_api.api")


class Authentication:
    """Puts the principal of an already verified token into the scope; a hit is one dictionary look-up."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            query = scope["query_string"]
            if query and len(query) > MAX_QUERY_BYTES and scope["type"] == "http":
                await refuse_long_query(scope, receive, send)
                return
            scope[SERVICES] = services_of(scope)  # mounted applications find them there
            recall_principal(scope)
        await self._app(scope, receive, send)


async def refuse_long_query(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request whose query string is too long with 414, before it is read."""
    error = UriTooLong(len(scope["query_string"]))
    await problem_response(error, request_id=request_id_in(scope))(scope, receive, send)


def recall_principal(scope: Scope) -> None:
    """Put the principal into the scope if the services there have verified this very token before."""
    services: Services | None = scope[SERVICES]
    token = plain_token_of(scope["headers"]) if not scope["query_string"] else None
    if services is not None and token is not None:
        principal = services.verifier.get(token)
        if principal is not None:
            scope[PRINCIPAL] = principal


def services_of(scope: Scope) -> Services | None:
    """What the application's lifespan opened, also below a mount; None while it did not."""
    found: Services | None = scope.get(SERVICES) or getattr(getattr(scope.get("app"), "state", None), "services", None)
    return found


def credential_of(scope: Scope, *, services: Services) -> Credential:
    """The one credential of a request; see `TokenVerifier.credential_of`."""
    return services.verifier.credential_of(
        scope["headers"],
        query=scope.get("query_string", b""),
        method=scope.get("method", "GET"),  # a WebSocket is opened by one
        url=_url_of(scope, services=services),
    )


def _url_of(scope: Scope, *, services: Services) -> str | None:
    """The URL as its sender sees it, without the query; None where that is not known. The Host header is not asked."""
    base, path = services.settings.public_url, scope.get("raw_path")
    return base.rstrip("/") + path.decode("latin-1") if base is not None and path is not None else None
